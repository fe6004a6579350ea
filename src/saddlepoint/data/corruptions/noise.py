"""Noise of a sensor: Gaussian, of counted photons, and of single values that fail."""

from __future__ import annotations

import numpy as np

from saddlepoint.data.corruptions.constants import Constants
from saddlepoint.data.corruptions.pixels import Pixels


def gaussian_noise(image: Pixels, constants: Constants, rng: np.random.Generator) -> Pixels:
    """Add normal noise of a standard deviation to every value, on the scale [0, 1].

    >>> gaussian_noise(np.zeros((8, 8, 1)), (0.1,), np.random.default_rng(0)).shape
    (8, 8, 1)
    """
    (deviation,) = constants
    return image + rng.normal(scale=deviation, size=image.shape)


def shot_noise(image: Pixels, constants: Constants, rng: np.random.Generator) -> Pixels:
    """Draw every value as a share of counted photons, of which white has so many on average.

    >>> float(shot_noise(np.zeros((8, 8, 1)), (60,), np.random.default_rng(0)).max())
    0.0
    """
    (photons,) = constants
    return rng.poisson(image * photons) / photons


def impulse_noise(image: Pixels, constants: Constants, rng: np.random.Generator) -> Pixels:
    """Set a share of the values, each channel by itself, to 0 or to 1 by the toss of a coin.

    >>> found = impulse_noise(np.full((99, 99, 1), 0.5), (0.27,), np.random.default_rng(0))
    >>> round(float((found != 0.5).mean()), 1), np.unique(found)
    (0.3, array([0. , 0.5, 1. ]))
    """
    (share,) = constants
    failed = rng.random(image.shape) < share
    return np.where(failed, rng.random(image.shape) < 0.5, image)
