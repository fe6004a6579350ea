"""A rubber sheet: an affine map, and then small displacements that neighbours share."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64
from scipy import ndimage

from saddlepoint.data.corruptions.constants import Constants
from saddlepoint.data.corruptions.pixels import Pixels


def affine_back(
    before: Float64[np.ndarray, "3 2"], after: Float64[np.ndarray, "3 2"]
) -> Float64[np.ndarray, "3 2"]:
    """Return the matrix that takes (row, column, 1) of the places after back to those before, in
    pixels.

    >>> corners = np.array([[0.0, 0.0], [0.0, 2.0], [2.0, 0.0]])
    >>> (np.array([1.0, 1.0, 1.0]) @ affine_back(corners, corners + 3)).round(6)
    array([-2., -2.])
    """
    places = np.concatenate([after, np.ones((3, 1))], axis=1)
    found: Float64[np.ndarray, "3 2"] = np.linalg.lstsq(places, before, rcond=None)[0]
    return found


def elastic_transform(image: Pixels, constants: Constants, rng: np.random.Generator) -> Pixels:
    """Move three corners of a square by a jitter, and the image with them; then displace every pixel
    by noise that is smoothed over a length and multiplied by an amplitude.

    The lengths are for images of a side in pixels, and become the same shares of the shorter side of
    others. Both maps are linear between pixels.

    >>> whole = (3.2, 0.96, 0.96, 32)
    >>> found = elastic_transform(np.ones((8, 8, 1)), whole, np.random.default_rng(0))
    >>> float(found.min().round(6))
    1.0
    """
    height, width, _ = image.shape
    scale = min(height, width) / constants[3]
    amplitude, smoothing, jitter = (scale * each for each in constants[:3])
    middle, arm = np.array([height // 2, width // 2], np.float64), min(height, width) // 3
    corners = middle + arm * np.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0]])
    back = affine_back(corners, corners + rng.uniform(-jitter, jitter, (3, 2)))
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    places = np.stack([rows, columns, np.ones_like(rows)], axis=-1) @ back
    image = _sampled(image, places[..., 0], places[..., 1], "mirror")
    down, right = (
        amplitude * ndimage.gaussian_filter(noise, smoothing, mode="reflect", truncate=3)
        for noise in rng.uniform(-1, 1, (2, height, width))
    )
    return _sampled(image, rows + down, columns + right, "reflect")


def _sampled(
    image: Pixels, rows: Float64[np.ndarray, "h w"], columns: Float64[np.ndarray, "h w"], mode: str
) -> Pixels:
    channels = [
        ndimage.map_coordinates(image[..., c], (rows, columns), order=1, mode=mode)
        for c in range(image.shape[-1])
    ]
    return np.stack(channels, axis=-1)
