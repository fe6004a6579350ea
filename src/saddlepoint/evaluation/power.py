"""How many images tell two models apart."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64
from scipy.stats import binom

from saddlepoint.errors import InputError

_MOST = 10**7


def power_of_mcnemar(images: int, only_a: float, only_b: float, level: float = 0.05) -> float:
    """Return the chance that McNemar's exact test tells two models apart at the level.

    Args:
        images: that both are evaluated on.
        only_a, only_b: the shares of images on which the first alone, the second alone is right; their
            difference is that of the accuracies.
        level: of significance, two-sided.

    Raises `InputError` for shares that cannot be.

    >>> round(power_of_mcnemar(1000, 0.06, 0.03), 2)
    0.87
    """
    _check(only_a, only_b, level)
    if images < 1:
        raise InputError(f"images is {images}; give at least 1")
    apart = only_a + only_b
    if apart == 0:
        return 0.0
    # Of d images on which they differ the first alone is right on a binomial share.
    d = np.arange(images + 1)
    chance = binom.pmf(d, images, apart)
    likely = d[chance > 1e-12]
    least = binom.ppf(level / 2, likely, 0.5).astype(int)
    # The largest count whose tail is within the level: no rejection where there is none.
    least = np.where(2 * binom.cdf(least, likely, 0.5) > level, least - 1, least)
    share = only_a / apart
    rejected = binom.cdf(least, likely, share) + binom.cdf(least, likely, 1 - share)
    return float((chance[likely] * rejected).sum())


def images_to_tell(only_a: float, only_b: float, *, power: float = 0.8, level: float = 0.05) -> int:
    """Return how many images McNemar's exact test needs to tell two models apart.

    Args:
        only_a, only_b: the shares of images on which the first alone, the second alone is right.
        power: the chance of telling them apart. It rises in saw teeth with the number of images; from
            the number returned on none of the next ones is below it.
        level: of significance, two-sided.

    Raises `InputError` for shares that cannot be, and where more than ten million are needed.

    >>> images_to_tell(0.06, 0.03)
    830
    """
    _check(only_a, only_b, level)
    if not 0 < power < 1:
        raise InputError(f"power is {power}; give a number between 0 and 1")
    if only_a == only_b:
        raise InputError("both are right as often; no number of images tells them apart")
    most = 16
    while power_of_mcnemar(most, only_a, only_b, level) < power:
        most *= 2
        if most > _MOST:
            raise InputError(f"more than {_MOST} images are needed; the models hardly differ")
    low, high = most // 2, most
    while high - low > 1:
        middle = (low + high) // 2
        enough = power_of_mcnemar(middle, only_a, only_b, level) >= power
        low, high = (low, middle) if enough else (middle, high)
    return _settled(high, only_a, only_b, power, level)


def _settled(count: int, only_a: float, only_b: float, power: float, level: float) -> int:
    """Return the count from which on the power stays: an exact test's is not monotone."""
    ahead: Float64[np.ndarray, " w"] = np.array(
        [power_of_mcnemar(count + more, only_a, only_b, level) for more in range(_window(count))]
    )
    below = np.flatnonzero(ahead < power)
    return count + (int(below[-1]) + 1 if len(below) else 0)


def _window(count: int) -> int:
    return min(max(count // 20, 8), 64)


def _check(only_a: float, only_b: float, level: float) -> None:
    if not (0 <= only_a <= 1 and 0 <= only_b <= 1 and only_a + only_b <= 1):
        raise InputError(
            f"the shares are {only_a:g} and {only_b:g}; give shares of all images, 1 together at most"
        )
    if not 0 < level < 1:
        raise InputError(f"level is {level}; give a number between 0 and 1")
