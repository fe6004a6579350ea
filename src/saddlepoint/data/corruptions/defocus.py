"""A lens out of focus: every point becomes a disk."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64
from scipy import ndimage

from saddlepoint.data.corruptions.constants import Constants
from saddlepoint.data.corruptions.pixels import Pixels

_WIDE = 8  # a radius above which the edge is softened over 5 pixels, not 3


def disk(radius: float, softness: float) -> Float64[np.ndarray, "k k"]:
    """Return a disk of a radius in pixels that sums to 1, its edge softened by a Gaussian whose
    sigma, in pixels, is `softness`.

    >>> disk(1, 0.01).round(2)
    array([[0. , 0. , 0. , 0. , 0. ],
           [0. , 0. , 0.2, 0. , 0. ],
           [0. , 0.2, 0.2, 0.2, 0. ],
           [0. , 0. , 0.2, 0. , 0. ],
           [0. , 0. , 0. , 0. , 0. ]])
    """
    reach = 1 if radius <= _WIDE else 2
    line = np.arange(-int(radius) - reach, int(radius) + reach + 1)
    inside = (line[:, None] ** 2 + line**2 <= radius**2).astype(np.float64)
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * softness**2))
    weights /= weights.sum()
    for axis in (0, 1):
        inside = ndimage.correlate1d(inside, weights, axis, mode="constant")
    kernel: Float64[np.ndarray, "k k"] = inside / inside.sum()
    return kernel


def defocus_blur(image: Pixels, constants: Constants, rng: np.random.Generator) -> Pixels:
    """Blur an image by a disk of a radius in pixels; at the border it is mirrored.

    >>> float(defocus_blur(np.ones((8, 8, 1)), (3, 0.1), np.random.default_rng(0)).min().round(6))
    1.0
    """
    kernel = disk(*constants)
    found: Pixels = np.stack(
        [ndimage.correlate(image[..., c], kernel, mode="mirror") for c in range(image.shape[-1])],
        axis=-1,
    )
    return found
