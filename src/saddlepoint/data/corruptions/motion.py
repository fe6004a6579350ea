"""A camera that moves: every point becomes a line that fades."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float64, Int64

from saddlepoint.data.corruptions.constants import Constants
from saddlepoint.data.corruptions.pixels import Pixels

_MOST = 45.0  # degrees either way


def line(
    radius: float, sigma: float, angle: float
) -> tuple[Float64[np.ndarray, " k"], Int64[np.ndarray, "k 2"]]:
    """Return the weights of a motion and where they lie, in rows and columns from the pixel.

    It is one half of a Gaussian of 2·radius + 1 pixels, all on one side, along an angle in degrees
    from the horizontal; places are rounded to whole pixels, halves down. ImageMagick's.

    >>> weights, places = line(1, 1.0, 45.0)
    >>> weights.round(3), places.tolist()
    (array([0.574, 0.348, 0.078]), [[0, 0], [1, 1], [1, 1]])
    """
    steps = np.arange(2 * math.ceil(radius) + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    turned = math.radians(angle)
    along = np.stack([steps * math.sin(turned), steps * math.cos(turned)], axis=1)
    return weights / weights.sum(), np.ceil(along - 0.5).astype(np.int64)


def moved(image: Pixels, radius: float, sigma: float, angle: float) -> Pixels:
    """Blur an image along an angle in degrees, rounded to 8 bits; beyond the border lie its last
    pixels.

    >>> moved(np.eye(8)[..., None], 3, 2.0, 45.0).shape
    (8, 8, 1)
    """
    height, width, _ = image.shape
    blurred = np.zeros_like(image)
    for weight, (down, right) in zip(*line(radius, sigma, angle), strict=True):
        rows = np.clip(np.arange(height) + down, 0, height - 1)
        columns = np.clip(np.arange(width) + right, 0, width - 1)
        blurred += weight * image[rows[:, None], columns]
    found: Pixels = np.rint(blurred * 255) / 255
    return found


def motion_blur(image: Pixels, constants: Constants, rng: np.random.Generator) -> Pixels:
    """Blur an image along a line of a radius and a sigma in pixels, at a random angle.

    >>> float(motion_blur(np.ones((8, 8, 1)), (10, 3), np.random.default_rng(0)).min())
    1.0
    """
    radius, sigma = constants
    return moved(image, radius, sigma, rng.uniform(-_MOST, _MOST))
