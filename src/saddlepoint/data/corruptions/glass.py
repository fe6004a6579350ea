"""Frosted glass: light of a place comes from one nearby."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64
from scipy import ndimage

from saddlepoint.data.corruptions.constants import Constants
from saddlepoint.data.corruptions.pixels import Pixels


def displaced(
    shape: tuple[int, int], reach: int, rounds: int, rng: np.random.Generator
) -> Int64[np.ndarray, "h w"]:
    """Return of every place the one whose light arrives there, as a number of the flattened image.

    In each round every place that is far enough from the border takes, from the last to the first,
    what its neighbour at −reach … reach − 1 rows and columns shows at that moment. The published
    program means to exchange the two; what it does, as its pixels are views of one array, is this.

    >>> displaced((8, 8), 1, 1, np.random.default_rng(0))[0]
    array([0, 1, 2, 3, 4, 5, 6, 7])
    """
    height, width = shape
    rows, columns = range(height - reach, reach, -1), range(width - reach, reach, -1)
    source = list(range(height * width))
    for _ in range(rounds):
        steps = rng.integers(-reach, reach, size=(2, len(rows), len(columns)))
        moves = (steps[0] * width + steps[1]).tolist()
        for row, along in zip(rows, moves, strict=True):
            for column, move in zip(columns, along, strict=True):
                here = row * width + column
                source[here] = source[here + move]
    return np.array(source).reshape(shape)


def glass_blur(image: Pixels, constants: Constants, rng: np.random.Generator) -> Pixels:
    """Blur an image, displace its pixels by up to a reach in pixels, and blur it again.

    >>> float(glass_blur(np.ones((8, 8, 1)), (0.7, 1, 2), np.random.default_rng(0)).min().round(6))
    1.0
    """
    sigma, reach, rounds = constants
    height, width, channels = image.shape
    blurred = np.floor(_gaussian(image, sigma) * 255 + 1e-6) / 255
    places = displaced((height, width), int(reach), int(rounds), rng)
    return _gaussian(blurred.reshape(-1, channels)[places], sigma)


def _gaussian(image: Pixels, sigma: float) -> Pixels:
    found: Pixels = ndimage.gaussian_filter(image, (sigma, sigma, 0), mode="nearest")
    return found
