"""Frost on a window, drawn: the published sets lay photographs of ice over their images, which are
not here.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from saddlepoint.data.corruptions.constants import Constants
from saddlepoint.data.corruptions.pixels import Pixels
from saddlepoint.data.corruptions.plasma import plasma

_DECAYS = (2.0, 1.7, 1.5)
"""Of the height maps whose ridges are the crystals: from large feathers to fine needles."""
_SHARPNESS = 6.0
_GROUND = 0.25
"""The least brightness of the haze between crystals."""
_TINT = (0.86, 0.94, 1.0)
"""Ice is a little blue."""


def ice(shape: tuple[int, int], rng: np.random.Generator) -> Float64[np.ndarray, "h w"]:
    """Return a texture of ice of a shape in pixels, from 0 to 1: the ridges of three height maps, where
    each is near its middle, on a haze.

    >>> texture = ice((8, 8), np.random.default_rng(0))
    >>> texture.shape, bool((texture >= 0.25).all() and (texture <= 1).all())
    ((8, 8), True)
    """
    ridges = np.zeros(shape)
    for decay in _DECAYS:
        heights = plasma(shape, decay, rng)
        heights = heights - np.median(heights)
        nearness = 1 - np.abs(heights) / max(float(np.abs(heights).max()), 1e-12)
        ridges = np.maximum(ridges, nearness**_SHARPNESS)
    haze = plasma(shape, 2.5, rng)
    found: Float64[np.ndarray, "h w"] = _GROUND + (1 - _GROUND) * ridges * (0.4 + 0.6 * haze)
    return found


def frost(image: Pixels, constants: Constants, rng: np.random.Generator) -> Pixels:
    """Add a texture of ice to an image, each with its weight; grey images take grey ice.

    >>> bool(frost(np.zeros((8, 8, 3)), (1, 0.4), np.random.default_rng(0)).max() <= 0.4)
    True
    """
    weight, amount = constants
    texture = ice((image.shape[0], image.shape[1]), rng)[..., None]
    tint = np.array(_TINT) if image.shape[-1] == 3 else np.ones(1)
    return weight * image + amount * texture * tint
