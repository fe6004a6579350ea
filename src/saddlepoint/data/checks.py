"""Checks and normal forms of raw images and labels, so that every later number can trust them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor

from saddlepoint.checks import ROUNDING, range_advice, settled, tensor_of
from saddlepoint.errors import InputError

Array = Tensor | NDArray[np.generic]

MOST_CLASSES = 100_000
"""Where only the labels say how many there are: ImageNet has 21,841 at most."""

_UNORDERED = (torch.uint16, torch.uint32, torch.uint64)
_CHUNK = 1 << 24  # values looked at together; bounds the memory the checks need beside the data


def chunks(images: Tensor) -> Iterator[Tensor]:
    """Yield `images` in slices of about 16 million values.

    >>> [len(part) for part in chunks(torch.zeros(3, 1, 2, 2))]
    [3]
    """
    per_image = max(1, math.prod(images.shape[1:]))
    yield from torch.split(images, max(1, _CHUNK // per_image))


def checked_images(images: Array) -> Tensor:
    """Return images as uint8 or float32, (N, C, H, W), or (N, D) for vectors.

    A channel is added to (N, H, W), and (N, H, W, C) with one or three channels is transposed.
    Floats must lie in [0, 1] and integers in 0 … 255; raises `InputError` where they do not.

    >>> checked_images(torch.zeros(5, 8, 8)).shape
    torch.Size([5, 1, 8, 8])
    >>> checked_images(torch.full((5, 8, 8), 2.0))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: images span 2 … 2; they must lie in [0, 1]: divide them by their \
largest possible value (255 for 8 bits, 65535 for 16)
    """
    tensor = tensor_of(images, "images")
    if tensor.ndim not in (2, 3, 4):
        raise InputError(
            f"images have shape {tuple(tensor.shape)}; give (N, C, H, W), (N, H, W), "
            "(N, H, W, C) or vectors (N, D)"
        )
    if tensor.numel() == 0:
        raise InputError(f"images have shape {tuple(tensor.shape)}: there are none")
    if tensor.is_complex():
        raise InputError(f"images are {_kind(tensor)}; give uint8 or float32")
    if tensor.is_floating_point() or tensor.dtype is torch.bool:
        # A copy is made only where the type differs: resident images may be large.
        tensor = tensor.to(torch.float32)
        tensor = _in_unit_range(tensor)
    elif tensor.dtype is not torch.uint8:
        low, high = _span(tensor)
        if low < 0 or high > 255:
            raise InputError(
                f"images span {low:g} … {high:g} as {_kind(tensor)}; integers must lie in 0 … 255"
            )
        tensor = tensor.to(torch.uint8)
    if tensor.dtype is torch.uint8 and int(tensor.max()) == 1:
        warnings.warn(
            "images are integers of 0 and 1, which are read as 0 … 255: nearly black. Give floats, or"
            " booleans, where 1 is white",
            stacklevel=2,
        )
    return _channels_first(tensor).contiguous()


def checked_labels(labels: Array, count: int, classes: int | None) -> Int64[Tensor, " n"]:
    """Return `count` labels as int64, checked against the number of classes where it is known.

    Labels of shape (N, 1) are flattened; raises `InputError` for anything but integers 0 … K-1.

    >>> checked_labels(torch.tensor([[0], [2]], dtype=torch.uint8), 2, 3)
    tensor([0, 2])
    >>> checked_labels(torch.eye(3), 3, None)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: labels have shape (3, 3); give one integer per image \
(for one-hot or soft labels: labels.argmax(1))
    """
    tensor = tensor_of(labels, "labels")
    if tensor.ndim == 2 and tensor.shape[1] == 1:
        tensor = tensor[:, 0]
    if tensor.ndim != 1:
        raise InputError(
            f"labels have shape {tuple(tensor.shape)}; give one integer per image "
            "(for one-hot or soft labels: labels.argmax(1))"
        )
    if tensor.dtype is torch.bool or tensor.is_floating_point() or tensor.is_complex():
        raise InputError(f"labels are {_kind(tensor)}; give integers 0 … K-1")
    if len(tensor) != count:
        raise InputError(f"there are {count} images but {len(tensor)} labels; give one per image")
    if tensor.dtype is torch.uint64:  # which torch can neither compare nor take for an index
        large = tensor.view(torch.int64) < 0
        if bool(large.any()):
            where = int(large.nonzero()[0])
            raise InputError(f"label {tensor[where].tolist()} of image {where} is no class")
    tensor = tensor.to(torch.int64)
    low, high = int(tensor.min()), int(tensor.max())
    if low < 0:
        where = int((tensor == low).nonzero()[0])
        raise InputError(f"label {low} of image {where} is negative; labels are 0 … K-1")
    if classes is not None and high >= classes:
        where = int((tensor == high).nonzero()[0])
        raise InputError(
            f"label {high} of image {where} is outside 0 … {classes - 1}: there are {classes} "
            "classes, and labels count from 0"
        )
    if classes is None and high >= max(MOST_CLASSES, count):
        where = int((tensor == high).nonzero()[0])
        raise InputError(
            f"label {high} of image {where} would make {high + 1:,} classes of {count:,} images;"
            f" labels are 0 … K-1, with at most {MOST_CLASSES:,} classes, or one per image"
        )
    return tensor.contiguous()


def _in_unit_range(images: Tensor) -> Tensor:
    low, high = _span(images)
    if not (np.isfinite(low) and np.isfinite(high)):
        bad = 0
        for part in chunks(images):
            wrong = (~part.isfinite()).flatten(1).any(1)
            if wrong.any():
                bad += int(wrong.nonzero()[0])
                break
            bad += len(part)
        raise InputError(f"image {bad} holds NaN or an infinity; remove it or repair it")
    if low >= 0 and high <= 1:
        return images
    if low < -ROUNDING or high > 1 + ROUNDING:
        advice = range_advice(low, high, words="; they must lie in")
        raise InputError(f"images {advice}")
    return torch.cat([settled(part) for part in chunks(images)])


def _span(images: Tensor) -> tuple[float, float]:
    # Torch has no order of the wider unsigned types; a double tells 255 from 256 of all of them.
    parts = (part.double() if part.dtype in _UNORDERED else part for part in chunks(images))
    pairs = [part.aminmax() for part in parts]
    lows = torch.stack([pair.min for pair in pairs])
    highs = torch.stack([pair.max for pair in pairs])
    return float(lows.min()), float(highs.max())


def _channels_first(images: Tensor) -> Tensor:
    if images.ndim == 3:
        return images.unsqueeze(1)
    if images.ndim == 4:
        _, first, second, last = images.shape
        # A picture wider and higher than its last axis, which is 1 or 3 long, is channels-last,
        # unless the first axis may be the channels as well.
        if last in (1, 3) and first not in (1, 3) and min(first, second) > last:
            return images.permute(0, 3, 1, 2)
    return images


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
