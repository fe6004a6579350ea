"""Image classifiers of Hugging Face from a folder: nothing is fetched, and no code in it is run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from saddlepoint.errors import InputError
from saddlepoint.files import fingerprint
from saddlepoint.model import Preprocessing, ReadOutput
from saddlepoint.reading import expanded, file_digest, read_json, shown
from saddlepoint.reading.tensors import read_metadata
from saddlepoint.threat import Statistics
from saddlepoint.zoo.processor import read_processor

_CONFIG, _WEIGHTS, _INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack")
_MOST = 1 << 24  # bytes of a configuration: the names of ten thousand classes, several times
_KERNELS = (None, "eager", "sdpa")
_MOST_CLASSES = 1_000_000


@dataclass(frozen=True)
class HuggingFaceFolder:
    """What a folder says of the model in it.

    Attributes:
        path: the folder.
        classes: the names of the outputs; None where they are numbered alone.
        count: of the outputs.
        channels: of an image.
        preprocessing: how images are resized and cut.
        statistics: mean and standard deviation of each channel of images in [0, 1]; None for none.
        files: the files of the weights, in safetensors.

    >>> folder = HuggingFaceFolder(Path("vit"), None, 2, 3, Preprocessing(), None, ())
    >>> folder.count
    2
    """

    path: Path
    classes: tuple[str, ...] | None
    count: int
    channels: int
    preprocessing: Preprocessing
    statistics: Statistics | None
    files: tuple[Path, ...]

    @property
    def weights(self) -> dict[str, Any]:
        """The file and the fingerprint of the weights and what else makes the network, as a record
        has them.
        """
        digests = {each.name: file_digest(each) for each in self.files}
        one = next(iter(digests.values())) if len(digests) == 1 else fingerprint(digests)
        name = self.files[0] if len(self.files) == 1 else self.path / _INDEX
        return {
            "file": shown(name),
            "fingerprint": one,
            "config": file_digest(self.path / _CONFIG),
        }


def read_huggingface(folder: Path | str) -> HuggingFaceFolder:
    """Return what a folder of `save_pretrained`, or a snapshot of the hub, says of its model.

    It has `config.json`, `preprocessor_config.json` and `model.safetensors`, or its parts. Raises
    `InputError` where one is missing or cannot be used: pickled weights alone, an attention whose
    code would have to be fetched, preprocessing that is not known.

    >>> read_huggingface("no-such")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: no folder no-such; hf:FOLDER takes what save_pretrained wrote
    """
    path = expanded(folder)
    if not path.is_dir():
        raise InputError(f"no folder {shown(path)}; hf:FOLDER takes what save_pretrained wrote")
    if not (path / _CONFIG).exists():
        raise InputError(f"{shown(path)} has no {_CONFIG}; give what save_pretrained wrote")
    config = read_json(path / _CONFIG, _MOST)
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise InputError(f"{shown(path / _CONFIG)} names no model_type; save the model again")
    _check_kernels(config, path / _CONFIG)
    files = _files(path)
    classes, count = _classes(config, path / _CONFIG)
    channels = config.get("num_channels", 3)
    if not isinstance(channels, int) or not 1 <= channels <= 64:
        raise InputError(f"{shown(path / _CONFIG)}: num_channels is {shown(channels)}")
    preprocessing, statistics = read_processor(path, channels)
    return HuggingFaceFolder(path, classes, count, channels, preprocessing, statistics, files)


def build_huggingface(folder: Path | str, *, classes: int, shape: tuple[int, ...]) -> nn.Module:
    """Return the image classifier in a folder, from normalised images to its logits, in float32.

    Raises `InputError` where transformers is not installed or cannot build it, where weights are
    missing or not finite, and for images or classes that are not its own.

    >>> build_huggingface("no-such", classes=2, shape=(3, 8, 8))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: no folder no-such; hf:FOLDER takes what save_pretrained wrote
    """
    found = read_huggingface(folder)
    name = f"hf:{shown(folder)}"
    if shape[0] != found.channels:
        raise InputError(f"{name} takes {found.channels} channels, the images have {shape[0]}")
    if classes != found.count:
        raise InputError(
            f"{name} tells {found.count:,} classes apart, not {classes}; say which of its outputs"
            " they are with --classes FILE"
        )
    for each in found.files:
        read_metadata(each)  # a whole file of safetensors
    network = _loaded(found, name)
    for key, value in network.state_dict().items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise InputError(f"{name}: {shown(key)} holds NaN or an infinity")
    return ReadOutput(network, "logits")


def check_transformers() -> None:
    """Raise `InputError` where transformers is not installed.

    >>> import pytest
    >>> _ = pytest.importorskip("transformers")
    >>> check_transformers()
    """
    _transformers()


def _loaded(found: HuggingFaceFolder, name: str) -> nn.Module:
    transformers = _transformers()
    try:
        with _quiet(transformers):
            network, report = transformers.AutoModelForImageClassification.from_pretrained(
                str(found.path.absolute()),
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except Exception as error:  # whatever its many constructors raise
        text = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(
            f"{name} cannot be built by transformers {transformers.__version__}: {shown(text[0])}"
        ) from error
    # transformers would draw them at random.
    absent = sorted(str(key) for key in report["missing_keys"])
    other = sorted(
        str(key[0] if isinstance(key, tuple) else key) for key in report["mismatched_keys"]
    )
    for keys, what in ((absent, "are missing"), (other, "have another shape")):
        if keys:
            more = ", …" if len(keys) > 3 else ""
            raise InputError(
                f"{name}: {len(keys)} weights {what} in its files: {shown(', '.join(keys[:3]))}{more};"
                " give the folder of an image classifier that was trained"
            )
    module: nn.Module = network.eval()
    return module


@contextlib.contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Let transformers print nothing: what went wrong is told as an error."""
    logs = transformers.utils.logging
    level, bars = logs.get_verbosity(), logs.is_progress_bar_enabled()
    logs.set_verbosity(50)
    logs.disable_progress_bar()
    try:
        yield
    finally:
        logs.set_verbosity(level)
        if bars:
            logs.enable_progress_bar()


def _transformers() -> Any:
    try:
        import transformers  # late: optional, and slow to import
    except ImportError as error:
        raise InputError("transformers is not installed: pip install 'saddlepoint[hf]'") from error
    return transformers


def _files(path: Path) -> tuple[Path, ...]:
    if (path / _WEIGHTS).exists():
        return (path / _WEIGHTS,)
    if (path / _INDEX).exists():
        index = read_json(path / _INDEX, _MOST)
        placed = index.get("weight_map") if isinstance(index, dict) else None
        if not isinstance(placed, dict) or not placed:
            raise InputError(f"{shown(path / _INDEX)} has no weight_map; save the model again")
        names = sorted({str(name) for name in placed.values()})
        for name in names:
            if Path(name).name != name or not name.endswith(".safetensors"):
                raise InputError(
                    f"{shown(path / _INDEX)} names {shown(name)}, which is no file of safetensors in"
                    " its folder"
                )
            if not (path / name).exists():
                raise InputError(f"{shown(path)} lacks {shown(name)}, which its index names")
        return tuple(path / name for name in names)
    pickled = sorted(each.name for kind in _PICKLED for each in path.glob(kind))
    if pickled:
        raise InputError(
            f"{shown(path)} holds its weights as {shown(pickled[0])} alone, which could run code and is"
            " not read;\nsave them as safetensors: model.save_pretrained(folder)"
        )
    raise InputError(f"{shown(path)} has no {_WEIGHTS}; give what save_pretrained wrote")


def _classes(config: Mapping[str, Any], path: Path) -> tuple[tuple[str, ...] | None, int]:
    """Return the names of the outputs, where the configuration has some, and their number."""
    named = config.get("id2label")
    if named is None:
        count = config.get("num_labels", 2)  # what a configuration has that does not say
        if not isinstance(count, int) or not 2 <= count <= _MOST_CLASSES:
            raise InputError(f"{shown(path)}: num_labels is {shown(count)}; 2 or more can be told")
        return None, count
    if not isinstance(named, dict) or {str(key) for key in named} != {
        str(i) for i in range(len(named))
    }:
        raise InputError(f"{shown(path)}: id2label does not name the outputs from 0 on, each once")
    if len(named) < 2:
        raise InputError(
            f"{shown(path)}: id2label names {len(named)} outputs; 2 or more can be told"
        )
    names = tuple(str(named[str(i)]) for i in range(len(named)))
    numbered = all(name == f"LABEL_{i}" for i, name in enumerate(names))
    return None if numbered else names, len(names)


def _check_kernels(config: Mapping[str, Any], path: Path) -> None:
    """Raise `InputError` for an attention of somebody's, whose code transformers would fetch."""
    for key, value in config.items():
        if isinstance(value, dict):
            _check_kernels(value, path)
        if key.endswith("attn_implementation") and value not in _KERNELS:
            raise InputError(
                f"{shown(path)}: {shown(key)} is {shown(value)}, whose code would have to be fetched;"
                " take it out, or give eager or sdpa"
            )
