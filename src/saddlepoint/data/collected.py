"""Samples that come one by one, gathered into two tensors without ever being held twice."""

from __future__ import annotations

import os
from typing import Any, Literal

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from saddlepoint.checks import tensor_of
from saddlepoint.errors import InputError

_MODES = ("L", "RGB")


class Collected:
    """Images and labels in the order in which they come.

    Args:
        length: how many come at most; None where nobody knows.

    >>> found = Collected(2)
    >>> found.add(torch.zeros(1, 2, 2), 1)
    >>> len(found), found.images().shape, found.labels()
    (1, torch.Size([1, 1, 2, 2]), tensor([1]))
    """

    def __init__(self, length: int | None) -> None:
        self._room = length or 16
        self._whole: Tensor | None = None
        self._labels: list[Tensor] = []
        self._digests: list[int] = []

    def __len__(self) -> int:
        return len(self._labels)

    def add(self, image: Any, label: Any) -> None:
        """Take a sample; raises `InputError` where it is no image, or unlike those before."""
        number = len(self)
        pixels = _pixels(image, number)
        target = tensor_of(label, f"label {number}").cpu()
        if target.numel() != 1:
            raise InputError(
                f"label {number} has shape {tuple(target.shape)}; give one integer per image"
            )
        if self._whole is None:
            _check_room(self._room * pixels.numel() * pixels.element_size())
            self._whole = torch.empty(self._room, *pixels.shape, dtype=pixels.dtype)
        if pixels.shape != self._whole.shape[1:] or pixels.dtype != self._whole.dtype:
            raise InputError(
                f"image {number} is {tuple(pixels.shape)} {_kind(pixels)}, image 0"
                f" {tuple(self._whole.shape[1:])} {_kind(self._whole)}; give images of one shape"
                " and type (resize or crop them)"
            )
        if number == len(self._whole):
            grown = self._whole.new_empty(2 * number, *self._whole.shape[1:])
            grown[:number] = self._whole
            self._whole = grown
        self._whole[number] = pixels
        self._labels.append(target.reshape(()))
        self._digests.append(hash((int(target), pixels.numpy().tobytes())))

    def images(self) -> Tensor:
        """Return the images (n, …); raises `InputError` where there are none."""
        if self._whole is None:
            raise InputError("the data hold no images; give at least one")
        return self._whole[: len(self)]

    def labels(self) -> Tensor:
        """Return the labels (n,)."""
        return torch.stack(self._labels)

    def differs(self, again: Collected) -> Literal["no", "order", "images"]:
        """Return in what the first samples of another reading differ from these."""
        if again._digests == self._digests[: len(again)]:
            return "no"
        return "order" if set(again._digests) <= set(self._digests) else "images"


def _pixels(image: Any, number: int) -> Tensor:
    """Return one image as a tensor on the CPU, the channels of a PIL image first."""
    if isinstance(image, Image):
        if image.mode not in _MODES:
            raise InputError(
                f"image {number} is a PIL image of mode {image.mode}; convert it to RGB or L"
            )
        array = np.array(image)
        return torch.from_numpy(array[None] if array.ndim == 2 else array.transpose(2, 0, 1))
    if not isinstance(image, Tensor | np.ndarray):
        raise InputError(
            f"image {number} is a {type(image).__name__}; give tensors, arrays or PIL images"
        )
    pixels = tensor_of(image, f"image {number}").cpu().contiguous()
    # What the whole would be cast to in the end takes no more memory on the way.
    return pixels.float() if pixels.is_floating_point() else pixels


def _check_room(needed: int) -> None:
    """Raise `InputError` for more bytes than the machine has."""
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > there:
        raise InputError(
            f"the images take {needed / 2**30:,.0f} GiB, and there are {there / 2**30:,.0f} GiB of"
            " memory; give fewer (a Subset), or 8-bit ones"
        )


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
