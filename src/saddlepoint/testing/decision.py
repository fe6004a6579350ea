"""When a count of robust images is enough for a test to pass, and how often it passes by chance."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import numpy as np
from scipy.stats import binom, norm

from saddlepoint.counts import check_count
from saddlepoint.errors import InputError
from saddlepoint.evaluation.statistics import Proportion
from saddlepoint.evaluation.until import Until

By = Literal["interval", "point"]
"""What is compared with the share that is asked for: the lower end of the 95 % Wilson interval, which
speaks of all images of the kind, or the share itself, which speaks of these images alone."""


def enough(count: int, total: int, at_least: float, by: By = "interval") -> bool:
    """Return whether `count` robust images of `total` are enough for a share of `at_least`.

    Raises `InputError` for what `check_wanted` refuses.

    >>> enough(50, 100, 0.45), enough(50, 100, 0.45, by="point"), enough(60, 100, 0.45)
    (False, True, True)
    """
    check_wanted(at_least, by)
    if by == "point":
        return total > 0 and count >= Until(at_least).least(total)
    return Proportion(count, total).low >= at_least


def images_needed(share: float, at_least: float) -> int | None:
    """Return how many images a share needs for the lower end of its interval to reach `at_least`; None
    where no number is enough.

    >>> images_needed(0.5, 0.45), images_needed(0.45, 0.45)
    (381, None)
    """
    check_wanted(at_least)
    if not share > at_least:
        return None
    z = float(norm.ppf(0.975))
    return math.ceil(z**2 * at_least * (1 - at_least) / (share - at_least) ** 2)


def false_passes(total: int, at_least: float, robust: float | None = None) -> float:
    """Return the chance that a test by the interval passes on `total` images drawn at random.

    Args:
        robust: the true share of all images of the kind; None is `at_least`, where a pass is only
            just right: below it every pass is false, and rarer.

    >>> round(false_passes(500, 0.45), 3), round(false_passes(500, 0.45, robust=0.43), 4)
    (0.027, 0.0023)
    """
    check_count("total", total)
    check_wanted(at_least)
    low, high = 0, total + 1  # the least count that is enough; total + 1 where none is
    while low < high:
        middle = (low + high) // 2
        if middle > total or enough(middle, total, at_least):
            high = middle
        else:
            low = middle + 1
    return float(binom.sf(low - 1, total, at_least if robust is None else robust))


def check_wanted(at_least: Any, by: Any = "interval") -> None:
    """Raise `InputError` unless a test can ask for this share, compared by this.

    >>> check_wanted(45)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: at_least is 45; give a share above 0 and at most 1, for instance 0.45
    """
    if by not in get_args(By):
        raise InputError(f"by is {by!r:.40}; give 'interval' or 'point'")
    number = isinstance(at_least, int | float | np.floating) and not isinstance(at_least, bool)
    if not number or not 0 < at_least <= 1:
        raise InputError(
            f"at_least is {at_least!r:.40}; give a share above 0 and at most 1, for instance 0.45"
        )
    if by == "interval" and at_least == 1:
        raise InputError(
            "at_least is 1, which no interval of a sample reaches; give less, or by='point'"
        )
