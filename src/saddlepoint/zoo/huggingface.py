"""Image classifiers of Hugging Face from a folder: nothing is fetched, and no code in it is run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from saddlepoint.errors import InputError
from saddlepoint.files import fingerprint
from saddlepoint.model import Preprocessing, ReadOutput
from saddlepoint.reading import expanded, file_digest, shown
from saddlepoint.threat import Statistics
from saddlepoint.zoo.huggingface_files import (
    CONFIG,
    INDEX,
    classes_of,
    loaded,
    read_config,
    weight_files,
)
from saddlepoint.zoo.processor import read_processor


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
        name = self.files[0] if len(self.files) == 1 else self.path / INDEX
        return {
            "file": shown(name),
            "fingerprint": one,
            "config": file_digest(self.path / CONFIG),
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
    config = read_config(path)
    files = weight_files(path)
    classes, count = classes_of(config, path / CONFIG)
    channels = config.get("num_channels", 3)
    if not isinstance(channels, int) or not 1 <= channels <= 64:
        raise InputError(f"{shown(path / CONFIG)}: num_channels is {shown(channels)}")
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
    network = loaded(found.path, found.files, name, "AutoModelForImageClassification")
    return ReadOutput(network, "logits")
