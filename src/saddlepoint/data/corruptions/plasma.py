"""Clouds: the random height map of the diamond-square algorithm."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

_REACH = 100.0  # of the coarsest displacement, before it decays
_FLAT = 1e-12


def plasma(
    shape: tuple[int, int], decay: float, rng: np.random.Generator
) -> Float64[np.ndarray, "h w"]:
    """Return a height map of a shape in pixels, cut from the smallest square of a power of two that
    covers it, whose heights are from 0 to 1.

    Each new point is the mean of its four neighbours, the square being joined at its borders, and a
    displacement, uniform within the square of a reach that is divided by `decay` each time the
    distance between points is halved.

    Reference: Fournier, Fussell and Carpenter 1982, "Computer rendering of stochastic models".

    >>> heights = plasma((8, 6), 2.0, np.random.default_rng(0))
    >>> heights.shape, bool((heights >= 0).all() and (heights <= 1).all())
    ((8, 6), True)
    """
    height, width = shape
    side = 1 << (max(shape) - 1).bit_length()
    field, reach, step = np.zeros((side, side)), _REACH, side

    def displaced(total: Float64[np.ndarray, "m m"]) -> Float64[np.ndarray, "m m"]:
        return total / 4 + rng.uniform(-(reach**2), reach**2, total.shape)

    while step > 1:
        half = step // 2
        corners = field[::step, ::step]
        right, below = np.roll(corners, -1, 1), np.roll(corners, -1, 0)
        middles = displaced(corners + right + below + np.roll(below, -1, 1))
        field[half::step, half::step] = middles
        field[::step, half::step] = displaced(corners + right + middles + np.roll(middles, 1, 0))
        field[half::step, ::step] = displaced(corners + below + middles + np.roll(middles, 1, 1))
        step, reach = half, reach / decay
    field -= field.min()
    found: Float64[np.ndarray, "h w"] = (field / max(field.max(), _FLAT))[:height, :width]
    return found
