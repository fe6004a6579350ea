"""The normalisation that torchattacks' `set_normalization_used` declares: of images outside the
model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.checks import as_pixels
from saddlepoint.errors import InputError
from saddlepoint.model import Normalised

Constants = Mapping[str, Tensor]
"""mean and std, each (1, c, 1, 1)."""


def constants_of(mean: Sequence[float], std: Sequence[float]) -> dict[str, Tensor]:
    """Return the mean and the standard deviation of each channel as tensors (1, c, 1, 1).

    >>> constants_of([0.5], [0.25])["std"].shape
    torch.Size([1, 1, 1, 1])
    """
    try:
        means, stds = ([float(value) for value in values] for values in (mean, std))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"mean is {mean!r} and std is {std!r}; give a number for each channel"
        ) from error
    inside = Normalised(nn.Identity(), means, stds)
    return {"mean": inside.mean[None], "std": inside.std[None]}


def normalised(
    images: Float[Tensor, "n c h w"], used: Constants | None
) -> Float[Tensor, "n c h w"]:
    """Return images in [0, 1], or 8-bit ones, as the model takes them; raises `InputError` for
    other whole numbers.

    >>> float(normalised(torch.ones(1, 1, 1, 1), constants_of([0.5], [0.25])))
    2.0
    """
    mean, std = _fitting(images, used)
    pixels = as_pixels(images)
    if not pixels.is_floating_point():
        raise InputError(f"images are {images.dtype}; give uint8, or floats in [0, 1]")
    return (pixels - mean) / std


def pixels_of(images: Float[Tensor, "n c h w"], used: Constants | None) -> Float[Tensor, "n c h w"]:
    """Return images that the model takes in [0, 1].

    Raises `InputError` for whole numbers, which are no normalised images.

    >>> pixels_of(torch.zeros(1, 1, 1, 1, dtype=torch.uint8), constants_of([0.5], [0.25]))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: images are torch.uint8, but set_normalization_used says that they
    are normalised floats: normalize(images) makes them of 8-bit ones and of pixels in [0, 1]
    """
    mean, std = _fitting(images, used)
    if not images.is_floating_point():
        raise InputError(
            f"images are {images.dtype}, but set_normalization_used says that they are normalised"
            " floats: normalize(images) makes them of 8-bit ones and of pixels in [0, 1]"
        )
    return images * std + mean


def in_pixels(model: nn.Module, used: Constants | None, device: torch.device) -> nn.Module:
    """Return a model of normalised images, on `device`, as one of images in [0, 1].

    >>> in_pixels(nn.Flatten(), None, torch.device("cpu"))
    Flatten(start_dim=1, end_dim=-1)
    """
    if used is None:
        return model
    whole = Normalised(model, *(used[name].flatten().tolist() for name in ("mean", "std")))
    whole.mean, whole.std = whole.mean.to(device), whole.std.to(device)
    return whole


def _fitting(images: Tensor, used: Constants | None) -> tuple[Tensor, Tensor]:
    """Return the constants beside the images; raises `InputError` where the channels differ."""
    if used is None:
        raise InputError("no normalisation is used; call set_normalization_used first")
    mean, std = (used[name].to(images.device) for name in ("mean", "std"))
    channels = mean.shape[1]
    if images.ndim != 4 or images.shape[1] != channels:
        raise InputError(
            f"images have shape {tuple(images.shape)}, the normalisation that is used is of"
            f" {channels} channels; give (n, {channels}, height, width)"
        )
    return mean, std
