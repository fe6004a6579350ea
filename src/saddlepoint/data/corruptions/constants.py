"""What a severity is: the published constants of every corruption, for images of 32 and of 224
pixels.

Each row is severity 1 … 5, and each cell what the corruption's function unpacks. Lengths are in
pixels of the published size.

Reference: Hendrycks and Dietterich 2019, arXiv:1903.12261, and the program that made their sets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal, get_args

from saddlepoint.errors import unknown

Form = Literal["cifar-10-c", "imagenet-c"]
"""Of which published set the constants are."""
FORMS: tuple[Form, ...] = get_args(Form)
Constants = tuple[float, ...]
Severities = tuple[Constants, Constants, Constants, Constants, Constants]

VERSION = 1
"""Raised where a change of the program gives other images for the same key."""
SEVERITIES = (1, 2, 3, 4, 5)
SMALL_SIDE = 64
"""Up to which side, of the longer one, an image takes the constants for 32 pixels."""


def form_for(shape: Sequence[int]) -> Form:
    """Return whose constants suit an image of a shape, whose last two numbers are its sides in
    pixels.

    >>> form_for((1, 8, 8)), form_for((3, 64, 64)), form_for((3, 96, 64))
    ('cifar-10-c', 'cifar-10-c', 'imagenet-c')
    """
    return "cifar-10-c" if max(shape[-2:]) <= SMALL_SIDE else "imagenet-c"


def check_form(form: str) -> Form:
    """Return the name of a published set whose constants there are; raise `InputError` for others.

    >>> check_form("imagenet-c")
    'imagenet-c'
    """
    for known in FORMS:
        if form == known:
            return known
    raise unknown("constants", form, FORMS)


def _single(*values: float) -> Severities:
    a, b, c, d, e = values
    return (a,), (b,), (c,), (d,), (e,)


CIFAR_10_C: Mapping[str, Severities] = MappingProxyType(
    {
        # standard deviation
        "gaussian-noise": _single(0.04, 0.06, 0.08, 0.09, 0.10),
        # photons of a white pixel
        "shot-noise": _single(500, 250, 100, 75, 50),
        # share of values
        "impulse-noise": _single(0.01, 0.02, 0.03, 0.05, 0.07),
        # radius, sigma of the softened edge
        "defocus-blur": ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
        # sigma, reach, rounds
        "glass-blur": ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
        # radius, sigma
        "motion-blur": ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
        # end, step of the zoom factors from 1
        "zoom-blur": ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
        # mean, deviation, zoom, threshold, radius and sigma of its motion, share of the image
        "snow": (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
        # weight of the image, of the frost
        "frost": ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
        # amount, decay
        "fog": ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
        # added to the value of hue, saturation and value
        "brightness": _single(0.05, 0.1, 0.15, 0.2, 0.3),
        # what is left of the distance from the mean
        "contrast": _single(0.75, 0.5, 0.4, 0.3, 0.15),
        # amplitude, smoothing, jitter of the corners, side of the image
        "elastic-transform": (
            (0, 0, 32 * 0.08, 32),
            (32 * 0.05, 32 * 0.2, 32 * 0.07, 32),
            (32 * 0.08, 32 * 0.06, 32 * 0.06, 32),
            (32 * 0.1, 32 * 0.04, 32 * 0.05, 32),
            (32 * 0.1, 32 * 0.03, 32 * 0.03, 32),
        ),
        # share of each side
        "pixelate": _single(0.95, 0.9, 0.85, 0.75, 0.65),
        # quality
        "jpeg-compression": _single(80, 65, 58, 50, 40),
    }
)

IMAGENET_C: Mapping[str, Severities] = MappingProxyType(
    {
        "gaussian-noise": _single(0.08, 0.12, 0.18, 0.26, 0.38),
        "shot-noise": _single(60, 25, 12, 5, 3),
        "impulse-noise": _single(0.03, 0.06, 0.09, 0.17, 0.27),
        "defocus-blur": ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
        "glass-blur": ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
        "motion-blur": ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
        "zoom-blur": ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
        "snow": (
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
        "frost": ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
        "fog": ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
        "brightness": _single(0.1, 0.2, 0.3, 0.4, 0.5),
        "contrast": _single(0.4, 0.3, 0.2, 0.1, 0.05),
        # The published program reckons with a side of 244 for images of 224.
        "elastic-transform": (
            (244 * 2, 244 * 0.7, 244 * 0.1, 224),
            (244 * 2, 244 * 0.08, 244 * 0.2, 224),
            (244 * 0.05, 244 * 0.01, 244 * 0.02, 224),
            (244 * 0.07, 244 * 0.01, 244 * 0.02, 224),
            (244 * 0.12, 244 * 0.01, 244 * 0.02, 224),
        ),
        "pixelate": _single(0.6, 0.5, 0.4, 0.3, 0.25),
        "jpeg-compression": _single(25, 18, 15, 10, 7),
    }
)
TABLES: Mapping[Form, Mapping[str, Severities]] = MappingProxyType(
    {"cifar-10-c": CIFAR_10_C, "imagenet-c": IMAGENET_C}
)
