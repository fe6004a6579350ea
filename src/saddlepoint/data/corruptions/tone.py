"""Brightness and contrast."""

from __future__ import annotations

import numpy as np

from saddlepoint.data.corruptions.constants import Constants
from saddlepoint.data.corruptions.pixels import Pixels


def brightness(image: Pixels, constants: Constants, rng: np.random.Generator) -> Pixels:
    """Raise the value of hue, saturation and value by a constant, up to 1.

    The value is the largest channel, and hue and saturation stay where all channels are multiplied
    alike; black, which has neither, becomes grey.

    >>> brightness(np.array([[[0.2, 0.4, 0.0], [0.0, 0.0, 0.0]]]), (0.1,), np.random.default_rng(0))
    array([[[0.25, 0.5 , 0.  ],
            [0.1 , 0.1 , 0.1 ]]])
    """
    (amount,) = constants
    value = image.max(axis=-1, keepdims=True)
    raised = np.minimum(value + amount, 1.0)
    lit = value > 0
    found: Pixels = np.where(lit, image * (raised / np.where(lit, value, 1.0)), raised)
    return found


def contrast(image: Pixels, constants: Constants, rng: np.random.Generator) -> Pixels:
    """Bring every value nearer to the mean of its channel, by a factor.

    >>> contrast(np.array([[[0.0], [1.0]]]), (0.4,), np.random.default_rng(0)).ravel()
    array([0.3, 0.7])
    """
    (factor,) = constants
    mean = image.mean(axis=(0, 1), keepdims=True)
    found: Pixels = mean + factor * (image - mean)
    return found
