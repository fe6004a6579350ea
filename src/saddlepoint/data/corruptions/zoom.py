"""A camera that comes nearer while the shutter is open."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float64

from saddlepoint.data.corruptions.constants import Constants
from saddlepoint.data.corruptions.pixels import Pixels


def enlargement(side: int, factor: float) -> Float64[np.ndarray, "side side"]:
    """Return the matrix that enlarges the middle of a line of pixels to the whole line, linearly.

    >>> enlargement(4, 2.0) @ np.array([0.0, 3.0, 6.0, 9.0])
    array([3., 4., 5., 6.])
    """
    kept = math.ceil(side / factor)
    whole = round(kept * factor)
    if kept == 1:  # a point has no length to stretch
        places = np.zeros(side)
    else:
        places = ((whole - side) // 2 + np.arange(side)) * (kept - 1) / (whole - 1)
    low = np.minimum(places.astype(np.int64), max(kept - 2, 0))
    share = places - low
    start, line = (side - kept) // 2, np.arange(side)
    matrix = np.zeros((side, side))
    matrix[line, start + low] = 1 - share
    matrix[line, np.minimum(start + low + 1, side - 1)] += share
    return matrix


def zoomed(image: Pixels, factor: float) -> Pixels:
    """Return the middle of an image, enlarged by a factor to the image's own size.

    >>> zoomed(np.ones((8, 8, 1)), 1.5).shape
    (8, 8, 1)
    """
    height, width, _ = image.shape
    rows, columns = enlargement(height, factor), enlargement(width, factor)
    found: Pixels = np.einsum("hi,ijc,wj->hwc", rows, image, columns, optimize=True)
    return found


def zoom_blur(image: Pixels, constants: Constants, rng: np.random.Generator) -> Pixels:
    """Average an image with itself enlarged by factors from 1 up to an end, in steps.

    >>> float(zoom_blur(np.ones((8, 8, 1)), (1.11, 0.01), np.random.default_rng(0)).min().round(6))
    1.0
    """
    end, step = constants
    factors = np.arange(1, end, step)  # as published, whether or not rounding lets the end in
    return (image + sum(zoomed(image, float(each)) for each in factors)) / (len(factors) + 1)
