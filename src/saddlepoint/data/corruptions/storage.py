"""What storing does to a picture: fewer pixels, and JPEG."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from saddlepoint.data.corruptions.constants import Constants
from saddlepoint.data.corruptions.pixels import Pixels, as_picture, from_picture


def pixelate(image: Pixels, constants: Constants, rng: np.random.Generator) -> Pixels:
    """Shrink an image to a share of each side by the mean of boxes, and enlarge it again.

    >>> pixelate(np.eye(8)[..., None], (0.5,), np.random.default_rng(0)).shape
    (8, 8, 1)
    """
    (share,) = constants
    picture = as_picture(image)
    width, height = picture.size
    box = Image.Resampling.BOX
    small = picture.resize((max(int(width * share), 1), max(int(height * share), 1)), box)
    return from_picture(small.resize((width, height), box))


def jpeg_compression(image: Pixels, constants: Constants, rng: np.random.Generator) -> Pixels:
    """Store an image as JPEG of a quality in per cent, and read it again.

    >>> jpeg_compression(np.eye(8)[..., None], (25,), np.random.default_rng(0)).shape
    (8, 8, 1)
    """
    (quality,) = constants
    stored = io.BytesIO()
    as_picture(image).save(stored, "JPEG", quality=int(quality))
    return from_picture(Image.open(stored))
