"""From a command's words to the things it names: device, data, model with its weights, threat
model.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from saddlepoint.cli.console import note, progress
from saddlepoint.counts import MOST_THREADS, check_count
from saddlepoint.errors import InputError, unknown

if TYPE_CHECKING:
    import torch
    from torch import nn

    from saddlepoint.data import ImageData
    from saddlepoint.threat import Statistics


@dataclass(frozen=True)
class DataWords:
    """How a command names its images."""

    spec: str
    root: Path | None
    download: bool
    image_size: int | None
    limit: int | None


@dataclass(frozen=True)
class ModelWords:
    """How a command names its model."""

    spec: str
    weights: Path | None
    normalisation: str
    pretrained: bool
    seed: int


def choose_device(name: str, threads: int | None) -> torch.device:
    """Return the device, after setting the number of threads; raises `InputError` where CUDA is
    absent.
    """
    import torch

    if threads is not None:
        check_count("threads", threads, most=MOST_THREADS)
        torch.set_num_threads(threads)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (":" in name and not (number.isascii() and number.isdigit())):
        raise unknown("device", name, ("auto", "cpu", "cuda", "cuda:0"))
    if kind == "cpu":
        if number.strip("0"):
            raise InputError(f"there is no {name}, only one cpu; use --device cpu")
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise InputError("CUDA was asked for, but torch finds no CUDA device; use --device cpu")
    if number and (len(number) > 4 or int(number) >= torch.cuda.device_count()):
        raise InputError(f"there is no {name}; torch finds {torch.cuda.device_count()} device(s)")
    return torch.device(name)


def read_data(words: DataWords, split: str, device: torch.device) -> ImageData:
    """Return the images of a split, on the device where they fit in memory."""
    from saddlepoint.data import TensorData, load_data

    if words.limit is not None:
        check_count("limit", words.limit)
    if split not in ("train", "test", "all"):
        raise unknown("split", split, ("train", "test", "all"))
    with progress("reading") as tick:
        data = load_data(
            words.spec,
            split=split,
            data_root=words.root,
            download=words.download,
            image_size=words.image_size,
            limit=words.limit,
            progress=tick,
        )
    return data.to(device) if isinstance(data, TensorData) else data


def build_subject(words: ModelWords, data: ImageData, device: torch.device) -> nn.Module:
    """Return the named model for the data, with its normalisation and its weights, on the
    device.
    """
    from saddlepoint.model import Normalised
    from saddlepoint.zoo import build_model, load_weights

    net = build_model(
        words.spec,
        classes=len(data.classes),
        shape=data.shape,
        pretrained=words.pretrained,
        seed=words.seed,
    )
    statistics = _statistics(words, data)
    model = net if statistics is None else Normalised(net, *statistics)
    if words.weights is not None:
        model, file = _transformed(model, words.weights)
        report = load_weights(model, file)
        if report.normalisation == "module" and words.normalisation == "auto":
            assert statistics is not None
            mean, std = (", ".join(f"{v:.4g}" for v in values) for values in statistics)
            note(
                f"note: {words.weights.name} holds no normalisation; using mean ({mean}) and std ({std}),"
                " change it with --normalisation"
            )
    return model.to(device)


def _transformed(model: nn.Module, weights: Path) -> tuple[nn.Module, Path]:
    """Return the model and the file of its weights; of a run's folder, with the run's transforms."""
    from saddlepoint.defences import transforms_of
    from saddlepoint.files import read_json
    from saddlepoint.runs import RUN_FILE
    from saddlepoint.training import WEIGHTS_FILE

    if not weights.is_dir():
        return model, weights
    if not (weights / RUN_FILE).is_file():
        raise InputError(
            f"{weights} is a folder; give the file of weights in it, or the folder of a training"
        )
    run = read_json(weights / RUN_FILE)
    if not isinstance(run, dict) or run.get("kind") != "train" or "config" not in run:
        raise InputError(f"{weights} is not the folder of a training; give one, or a file")
    for transform in transforms_of(run["config"]):
        model = transform(model)
    return model, weights / WEIGHTS_FILE


def note_random_weights(words: ModelWords) -> None:
    """Say so where a model of ours is about to be measured untrained."""
    if words.weights is None and not words.pretrained and ".py:" not in words.spec:
        note("note: no --weights: this is a model with random weights")


def statistics_of(model: nn.Module, data: ImageData) -> Statistics:
    """Return the mean and deviation that the model divides by, or the data's where it has none."""
    from saddlepoint.model import Normalised

    if isinstance(model, Normalised):
        return tuple(model.mean.flatten().tolist()), tuple(model.std.flatten().tolist())
    return data.mean, data.std


def _statistics(words: ModelWords, data: ImageData) -> Statistics | None:
    from saddlepoint.data import IMAGENET
    from saddlepoint.zoo import default_normalisation

    kind = words.normalisation
    if kind not in ("auto", "data", "imagenet", "none"):
        raise unknown("normalisation", kind, ("auto", "data", "imagenet", "none"))
    if kind == "none" or len(data.shape) != 3:
        return None
    if kind == "imagenet":
        if data.shape[0] != 3:
            raise InputError(
                f"imagenet normalisation is for 3 channels; the images have {data.shape[0]}"
            )
        return IMAGENET
    if kind == "auto":
        if ".py:" in words.spec:
            return None
        own = default_normalisation(words.spec) if words.pretrained else None
        if own is not None and len(own[0]) == data.shape[0]:
            return own
    return data.mean, data.std
