"""A folder of Hugging Face: its configuration, its weights in safetensors, and the network in it.
Nothing is fetched, and no code in it is run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from saddlepoint.errors import InputError
from saddlepoint.reading import read_json, shown
from saddlepoint.reading.tensors import read_metadata

CONFIG, INDEX = "config.json", "model.safetensors.index.json"
_WEIGHTS = "model.safetensors"
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack")
_MOST = 1 << 24  # bytes of a configuration: the names of ten thousand classes, several times
_KERNELS = (None, "eager", "sdpa")
_MOST_CLASSES = 1_000_000


def check_transformers() -> None:
    """Raise `InputError` where transformers is not installed.

    >>> import pytest
    >>> _ = pytest.importorskip("transformers")
    >>> check_transformers()
    """
    _transformers()


def loaded(path: Path, files: Sequence[Path], name: str, kind: str) -> nn.Module:
    """Return the network in a folder, of a kind such as "AutoModelForImageClassification", in float32
    and in evaluation mode.

    Args:
        path: the folder.
        files: of its weights; see `weight_files`.
        name: for messages.
        kind: of transformers' classes.

    Raises `InputError` where transformers is not installed or cannot build it, and where weights are
    missing or not finite.
    """
    for each in files:
        read_metadata(each)  # a whole file of safetensors
    network = _network(path, name, kind)
    for key, value in network.state_dict().items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise InputError(f"{name}: {shown(key)} holds NaN or an infinity")
    return network


def _network(path: Path, name: str, kind: str) -> nn.Module:
    transformers = _transformers()
    try:
        with _quiet(transformers):
            network, report = getattr(transformers, kind).from_pretrained(
                str(path.absolute()),
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
                " give the folder of a classifier that was trained"
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


def read_config(path: Path) -> dict[str, Any]:
    """Return the configuration in a folder.

    Raises `InputError` where there is none, or it names code that would have to be fetched.

    >>> read_config(Path("no-such"))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: no folder no-such; hf:FOLDER takes what save_pretrained wrote
    """
    if not path.is_dir():
        raise InputError(f"no folder {shown(path)}; hf:FOLDER takes what save_pretrained wrote")
    if not (path / CONFIG).exists():
        raise InputError(f"{shown(path)} has no {CONFIG}; give what save_pretrained wrote")
    config = read_json(path / CONFIG, _MOST)
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise InputError(f"{shown(path / CONFIG)} names no model_type; save the model again")
    _check_kernels(config, path / CONFIG)
    return config


def weight_files(path: Path) -> tuple[Path, ...]:
    """Return the files of safetensors in a folder.

    Raises `InputError` where there are none, or a part is missing.

    >>> weight_files(Path("no-such"))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: no-such has no model.safetensors; give what save_pretrained wrote
    """
    if (path / _WEIGHTS).exists():
        return (path / _WEIGHTS,)
    if (path / INDEX).exists():
        index = read_json(path / INDEX, _MOST)
        placed = index.get("weight_map") if isinstance(index, dict) else None
        if not isinstance(placed, dict) or not placed:
            raise InputError(f"{shown(path / INDEX)} has no weight_map; save the model again")
        names = sorted({str(name) for name in placed.values()})
        for name in names:
            if Path(name).name != name or not name.endswith(".safetensors"):
                raise InputError(
                    f"{shown(path / INDEX)} names {shown(name)}, which is no file of safetensors in"
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


def classes_of(config: Mapping[str, Any], path: Path) -> tuple[tuple[str, ...] | None, int]:
    """Return the names of the outputs, where the configuration has some, and their number.

    >>> classes_of({"id2label": {"0": "no", "1": "yes"}}, Path("config.json"))
    (('no', 'yes'), 2)
    """
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
