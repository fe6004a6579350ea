"""Snow and fog."""

from __future__ import annotations

import numpy as np

from saddlepoint.data.corruptions.constants import Constants
from saddlepoint.data.corruptions.motion import moved
from saddlepoint.data.corruptions.pixels import Pixels, grey
from saddlepoint.data.corruptions.plasma import plasma
from saddlepoint.data.corruptions.zoom import zoomed

_STEEPEST, _FLATTEST = -135.0, -45.0  # degrees of falling snow


def snow(image: Pixels, constants: Constants, rng: np.random.Generator) -> Pixels:
    """Whiten an image, and let flakes fall on it: noise, enlarged, cut off below a threshold, moved
    along a random angle, and once more upside down.

    >>> cold = (0.1, 0.3, 3, 0.5, 10, 4, 0.8)
    >>> bool((snow(np.full((8, 8, 1), 0.5), cold, np.random.default_rng(0)) >= 0.5).all())
    True
    """
    mean, deviation, factor, threshold, radius, sigma, weight = constants
    flakes = zoomed(rng.normal(mean, deviation, (*image.shape[:2], 1)), factor)
    flakes = np.where(flakes < threshold, 0.0, np.minimum(flakes, 1.0))
    flakes = np.floor(flakes * 255) / 255  # the layer is a picture of 8 bits
    flakes = moved(flakes, radius, sigma, rng.uniform(_STEEPEST, _FLATTEST))
    white = np.maximum(image, 1.5 * grey(image) + 0.5)
    snowed: Pixels = weight * image + (1 - weight) * white + flakes + flakes[::-1, ::-1]
    return snowed


def fog(image: Pixels, constants: Constants, rng: np.random.Generator) -> Pixels:
    """Add clouds to an image, and scale it so that its brightest value could be as bright as before.

    >>> bool(fog(np.full((8, 8, 1), 0.5), (1.5, 2), np.random.default_rng(0)).max() <= 0.5)
    True
    """
    amount, decay = constants
    brightest = image.max()
    clouds = plasma((image.shape[0], image.shape[1]), decay, rng)[..., None]
    clouded: Pixels = (image + amount * clouds) * brightest / (brightest + amount)
    return clouded
