"""Which constants a model divides its images by: asked for, the weights', or the data's."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from saddlepoint.cli.options import ModelOptions
from saddlepoint.errors import InputError, unknown
from saddlepoint.reading import shown

if TYPE_CHECKING:
    from torch import nn

    from saddlepoint.threat import Statistics
    from saddlepoint.zoo import WeightsFile

_KINDS = ("auto", "data", "imagenet", "none")


class Facts(Protocol):
    """What a model is built for; a data set knows it, and a named one before it is read."""

    @property
    def name(self) -> str:
        """The name of the data."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of an image."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""

    @property
    def mean(self) -> tuple[float, ...]:
        """The mean of each channel."""

    @property
    def std(self) -> tuple[float, ...]:
        """The standard deviation of each channel."""


def check_normalisation(given: ModelOptions) -> None:
    """Raise `InputError` for what no images could be normalised by."""
    if given.normalisation not in _KINDS:
        raise unknown("normalisation", given.normalisation, _KINDS)
    if given.mean is None and given.std is None:
        return
    if given.mean is None or given.std is None:
        raise InputError("one of --mean and --std is given without the other; give both")
    if given.normalisation != "auto":
        raise InputError("--normalisation and --mean exclude each other; give one")
    _numbers_given(given)


def statistics_for(
    given: ModelOptions, data: Facts, file: WeightsFile | None
) -> tuple[Statistics | None, str | None]:
    """Return the mean and standard deviation for a model and its data, None for none, and a note."""
    from saddlepoint.data import IMAGENET
    from saddlepoint.zoo import default_normalisation, is_whole

    kind, channels = given.normalisation, data.shape[0]
    if given.mean is not None:
        if len(data.shape) != 3:
            raise InputError(
                f"the images are vectors {data.shape}; --mean and --std are per channel"
            )
        numbers = _numbers_given(given)
        for name, text, values in zip(
            ("mean", "std"), (given.mean, given.std), numbers, strict=True
        ):
            if len(values) != channels:
                raise InputError(
                    f"--{name} {shown(text)}: {len(values)} numbers for images of {channels} channels"
                )
        return numbers, None
    if kind == "none" or len(data.shape) != 3:
        return None, None
    if kind == "imagenet":
        if channels != 3:
            raise InputError(
                f"imagenet normalisation is for 3 channels; the images have {channels}"
            )
        return IMAGENET, None
    if kind == "auto":
        if ".py:" in given.model:
            return None, None
        if file is not None and file.said == "none":
            assert given.weights is not None
            name = shown(given.weights.name)
            return None, f"note: {name} was trained without normalisation; none is used"
        whole = is_whole(given.model)
        own = default_normalisation(given.model) if given.pretrained or whole else None
        if own is None and whole:
            return None, None
        if own is not None and len(own[0]) == channels:
            return own, None
    return (data.mean, data.std), None


def constants(model: nn.Module) -> Statistics | None:
    """Return what a model of ours divides by; None for one without."""
    from saddlepoint.model import Normalised, Preprocessed, ReadOutput, TenCrop

    if isinstance(model, ReadOutput | Preprocessed | TenCrop):
        return constants(model.net)
    if not isinstance(model, Normalised):
        return None
    return tuple(model.mean.flatten().tolist()), tuple(model.std.flatten().tolist())


def check_same(weights: Path, asked: Statistics | None, own: Statistics | None) -> None:
    """Raise `InputError` where other constants are asked for than the weights were trained with."""
    if asked is None or own is None:
        return
    pairs = zip((*asked[0], *asked[1]), (*own[0], *own[1]), strict=True)
    if any(not math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-6) for a, b in pairs):
        raise InputError(
            f"{shown(weights)} was trained with {told(own)}, and {told(asked)} was asked for;\n"
            "leave --normalisation, --mean and --std out"
        )


def told(statistics: Statistics) -> str:
    """Return the constants as people read them."""
    mean, std = (", ".join(f"{v:.4g}" for v in values) for values in statistics)
    return f"mean ({mean}) and std ({std})"


def _numbers_given(given: ModelOptions) -> Statistics:
    from saddlepoint.model.normalised import LEAST_STD

    assert given.mean is not None
    assert given.std is not None
    mean, std = _numbers("mean", given.mean), _numbers("std", given.std)
    if not all(0 <= v <= 1 for v in mean) or not all(LEAST_STD <= v <= 1 for v in std):
        raise InputError(
            f"--mean {shown(given.mean)} and --std {shown(given.std)}: give them on the"
            f" scale 0 … 1 (divide by 255), and --std at least {LEAST_STD:.3g}, which float32 can divide by"
        )
    return mean, std


def _numbers(name: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.replace(",", " ").split())
    except ValueError:
        raise InputError(f"--{name} {shown(text)}: give numbers such as 0.49,0.48,0.45") from None
