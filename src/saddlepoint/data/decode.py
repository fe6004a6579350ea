"""Decoding of image files with Pillow, to uint8 pixels of one common shape."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from saddlepoint.counts import MOST_SIDE
from saddlepoint.errors import InputError
from saddlepoint.progress import Meter, Progress
from saddlepoint.reading import check_fits, shown
from saddlepoint.reading.pictures import picture

Source = Path | bytes


_GREY = ("L", "1")
_BLOCK, _SPAN = 2048, 64  # images handed to the threads at once, and one of them at a time


def probe(source: Source, label: str) -> tuple[str, tuple[int, int]]:
    """Return the mode, `L` or `RGB`, and the size (H, W) of an image, from its header alone.

    `label` names the image in errors. Raises `InputError` where it cannot be read.

    >>> import io
    >>> file = io.BytesIO()
    >>> Image.new("L", (8, 6)).save(file, "PNG")
    >>> probe(file.getvalue(), "grey.png")
    ('L', (6, 8))
    """
    with picture(source, label) as image:
        return ("L" if image.mode in _GREY else "RGB"), (image.height, image.width)


def decode(
    source: Source, label: str, mode: str, image_size: int | None = None
) -> UInt8[Tensor, "c h w"]:
    """Return the pixels of one image file, in `mode` `L` or `RGB`.

    With `image_size` the shorter side is resized to it and the centre square cut out. Raises
    `InputError`, with `label`, where the file is damaged or deeper than 8 bits.

    >>> import io
    >>> file = io.BytesIO()
    >>> Image.new("RGB", (8, 6), (255, 0, 0)).save(file, "PNG")
    >>> decode(file.getvalue(), "red.png", "RGB", image_size=4).shape
    torch.Size([3, 4, 4])
    """
    with picture(source, label) as image:
        flat = image if image.mode == mode else image.convert(mode)
        array = np.array(flat if image_size is None else fitted(flat, image_size))
    return torch.from_numpy(np.atleast_3d(array).transpose(2, 0, 1).copy())


def fitted(image: Image.Image, size: int) -> Image.Image:
    """Return the image with its shorter side resized to `size` and the centre square cut out.

    Bilinear, with the filter widened when shrinking, so that nothing aliases.

    >>> fitted(Image.new("L", (30, 20)), 10).size
    (10, 10)
    """
    check_side(size)
    if image.size == (size, size):
        return image
    ratio = size / min(image.size)
    width, height = (max(size, round(side * ratio)) for side in image.size)
    left, top = (width - size) // 2, (height - size) // 2
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return resized.crop((left, top, left + size, top + size))


def check_side(size: int) -> None:
    """Raise `InputError` unless images can be resized to squares of this side, 1 … 4096 pixels.

    >>> check_side(10**11)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: the image size is 100000000000; give 1 … 4096 pixels
    """
    if not 1 <= size <= MOST_SIDE:
        raise InputError(f"the image size is {size}; give 1 … {MOST_SIDE} pixels")


def decode_all(
    sources: Sequence[Source],
    labels: Callable[[int], str],
    *,
    mode: str,
    size: tuple[int, int],
    image_size: int | None = None,
    progress: Progress | None = None,
) -> UInt8[Tensor, "n c h w"]:
    """Return the pixels of many images of one size, decoded by a few threads.

    `labels(i)` names image i in errors; `progress` is told now and then. Raises
    `InputError` where an image is damaged or of another size.

    >>> import io
    >>> file = io.BytesIO()
    >>> Image.new("L", (8, 6), 7).save(file, "PNG")
    >>> decode_all([file.getvalue()] * 3, str, mode="L", size=(6, 8)).shape
    torch.Size([3, 1, 6, 8])
    """
    total = len(sources)
    shape = (total, 1 if mode == "L" else 3, *size)
    check_fits(f"{total:,} images of {size[0]}×{size[1]} pixels", math.prod(shape))
    pixels = torch.empty(*shape, dtype=torch.uint8)
    meter = Meter(progress, total, "images", "decoding")

    def fill(span: range) -> None:
        for i in span:
            image = decode(sources[i], labels(i), mode, image_size)
            if image.shape[1:] != size:
                raise sizes_differ(labels(i), tuple(image.shape[1:]), size)
            pixels[i] = image

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        spans = (range(at, min(at + _SPAN, total)) for at in range(0, total, _SPAN))
        for block in _grouped(spans, _BLOCK // _SPAN):
            for span, _ in zip(block, pool.map(fill, block), strict=True):
                meter.add(len(span))
    return pixels


def sizes_differ(label: str, seen: tuple[int, ...], expected: tuple[int, ...]) -> InputError:
    """Return the error for images of two sizes.

    >>> print(sizes_differ("b.png", (6, 8), (8, 8)))
    b.png is 6×8 pixels but others are 8×8; pass --image-size N to resize all of them
    """
    return InputError(
        f"{shown(label)} is {seen[0]}×{seen[1]} pixels but others are {expected[0]}×{expected[1]}; "
        "pass --image-size N to resize all of them"
    )


def resized(images: NDArray[np.generic], size: int) -> NDArray[np.generic]:
    """Return uint8 or float32 images (N, C, H, W) fitted to size×size, as files would be.

    >>> resized(np.zeros((2, 3, 8, 6), dtype=np.uint8), 4).shape
    (2, 3, 4, 4)
    """
    check_side(size)
    if images.ndim != 4 or images.shape[2:] == (size, size):
        return images
    nbytes = math.prod(images.shape[:2]) * size**2 * images.itemsize
    check_fits(f"{len(images):,} images of {size}×{size} pixels", nbytes)
    result = np.empty((*images.shape[:2], size, size), dtype=images.dtype)
    for image, target in zip(images, result, strict=True):
        for channel, place in zip(image, target, strict=True):
            place[...] = np.asarray(fitted(Image.fromarray(channel), size))
    # Weights that sum to one but for rounding may leave [0, 1] by the last digit.
    return result if result.dtype == np.uint8 else result.clip(0, 1)


def _grouped(spans: Iterable[range], count: int) -> Iterable[list[range]]:
    group: list[range] = []
    for span in spans:
        group.append(span)
        if len(group) == count:
            yield group
            group = []
    if group:
        yield group
