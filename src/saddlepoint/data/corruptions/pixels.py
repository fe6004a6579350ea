"""Images as a corruption sees them: rows, columns, channels, in steps of 8 bits."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Float64, UInt8
from PIL import Image

Pixels = Float64[np.ndarray, "h w c"]
_ALMOST = 1e-6  # of a step: what rounding errors take from a whole number of them


def as_levels(image: Float32[np.ndarray, "c h w"]) -> Pixels:
    """Return an image in [0, 1] with its channels last, each value rounded to the nearest of 256
    levels.

    >>> as_levels(np.full((1, 1, 1), 0.5, np.float32)) * 255
    array([[[128.]]])
    """
    levels: Pixels = np.rint(np.moveaxis(image, 0, -1).astype(np.float64) * 255) / 255
    return levels


def cut_to_bytes(pixels: Pixels) -> UInt8[np.ndarray, "c h w"]:
    """Return an image as bytes with its channels first: clipped to [0, 1], and what lies between two
    of 256 levels cut to the lower one, as the published sets have it.

    >>> cut_to_bytes(np.array([[[127.9 / 255, 3.0]]]))
    array([[[127]],
           [[255]]], dtype=uint8)
    """
    levels = np.floor(np.clip(pixels, 0, 1) * 255 + _ALMOST)
    cut: UInt8[np.ndarray, "c h w"] = np.moveaxis(levels, -1, 0).astype(np.uint8)
    return cut


def as_picture(pixels: Pixels) -> Image.Image:
    """Return an image of 1 or 3 channels as a picture of 8 bits.

    >>> as_picture(np.zeros((2, 4, 3))).size
    (4, 2)
    """
    levels = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    return Image.fromarray(levels[..., 0] if levels.shape[-1] == 1 else levels)


def from_picture(picture: Image.Image) -> Pixels:
    """Return a grey or RGB picture as an image in [0, 1].

    >>> from_picture(Image.new("L", (4, 2), 255)).shape
    (2, 4, 1)
    """
    found = np.asarray(picture, np.float64) / 255
    return found[..., None] if found.ndim == 2 else found


def grey(pixels: Pixels) -> Pixels:
    """Return the luma of an image, one channel, in [0, 1]; that of a grey one is itself.

    >>> grey(np.array([[[1.0, 0.0, 0.0]]]))
    array([[[0.299]]])
    """
    if pixels.shape[-1] == 1:
        return pixels
    luma: Pixels = pixels @ np.array([[0.299], [0.587], [0.114]])  # of ITU-R BT.601
    return luma
