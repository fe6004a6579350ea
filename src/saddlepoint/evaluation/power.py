"""How many images tell two models apart."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64
from scipy.stats import binom

from saddlepoint.errors import InputError

_MOST = 10**7


class HardlyDifferError(InputError):
    """Two models differ by so little that no data set tells them apart.

    >>> issubclass(HardlyDifferError, InputError)
    True
    """


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
    check_level(level)
    _check_shares(only_a, only_b)
    if images < 1:
        raise InputError(f"images is {images}; give at least 1")
    if only_a + only_b == 0:
        return 0.0
    return float(_powers(images, 1, only_a, only_b, level)[0])


def images_to_tell(only_a: float, only_b: float, *, power: float = 0.8, level: float = 0.05) -> int:
    """Return how many images McNemar's exact test needs to tell two models apart.

    Args:
        only_a, only_b: the shares of images on which the first alone, the second alone is right.
        power: the chance of telling them apart. It rises in saw teeth with the number of images; from
            the number returned on none of the next ones is below it.
        level: of significance, two-sided.

    Raises `InputError` for shares that cannot be, `HardlyDifferError` where more than ten million are
    needed.

    >>> images_to_tell(0.06, 0.03)
    830
    """
    check_level(level)
    check_power(power)
    _check_shares(only_a, only_b)
    if only_a == only_b:
        raise InputError("both are right as often; no number of images tells them apart")
    low, most = 8, 16
    while power_of_mcnemar(most, only_a, only_b, level) < power:
        if most == _MOST:
            raise HardlyDifferError(
                f"more than {_MOST:,} images are needed; the models hardly differ"
            )
        low, most = most, min(2 * most, _MOST)
    high = most
    while high - low > 1:
        middle = (low + high) // 2
        enough = power_of_mcnemar(middle, only_a, only_b, level) >= power
        low, high = (low, middle) if enough else (middle, high)
    return _settled(high, only_a, only_b, power, level)


def _settled(count: int, only_a: float, only_b: float, power: float, level: float) -> int:
    """Return the count from which on the power stays: an exact test's is not monotone."""
    window = min(max(count // 20, 8), 64)
    below = np.flatnonzero(_powers(count, window, only_a, only_b, level) < power)
    return count + (int(below[-1]) + 1 if len(below) else 0)


def _powers(
    first: int, window: int, only_a: float, only_b: float, level: float
) -> Float64[np.ndarray, " w"]:
    """Return the power with `first` images and with each of the next numbers, `window` in all."""
    apart = only_a + only_b
    # A count of images on which they differ that is likelier than 1e-12 has a tail above 1e-13 on
    # either side.
    low, high = binom.ppf(1e-13, first, apart), binom.isf(1e-13, first + window - 1, apart)
    d = np.arange(int(low), int(high) + 1)
    rejected = _rejected(d, only_a / apart, level)
    found = []
    for images in range(first, first + window):
        chance = binom.pmf(d, images, apart)
        likely = chance > 1e-12
        found.append((chance[likely] * rejected[likely]).sum())
    return np.array(found)


def _rejected(d: Int64[np.ndarray, " d"], share: float, level: float) -> Float64[np.ndarray, " d"]:
    """Return the chance that the test rejects where the two differ on d images, on each of which the
    first alone is right with the chance `share`.
    """
    least = binom.ppf(level / 2, d, 0.5).astype(int)
    # The largest count whose tail is within the level: no rejection where there is none.
    least = np.where(2 * binom.cdf(least, d, 0.5) > level, least - 1, least)
    rejected: Float64[np.ndarray, " d"] = binom.cdf(least, d, share) + binom.cdf(
        least, d, 1 - share
    )
    return rejected


def check_power(power: float) -> None:
    """Raise `InputError` unless the power is a chance that a test can have.

    >>> check_power(0.8)
    """
    if not 0 < power < 1:
        raise InputError(f"power is {power}; give a number between 0 and 1")


def check_level(level: float) -> None:
    """Raise `InputError` unless the level is one of significance.

    >>> check_level(0.05)
    """
    if not 0 < level < 1:
        raise InputError(f"level is {level}; give a number between 0 and 1")


def _check_shares(only_a: float, only_b: float) -> None:
    if not (0 <= only_a <= 1 and 0 <= only_b <= 1 and only_a + only_b <= 1):
        raise InputError(
            f"the shares are {only_a:g} and {only_b:g}; give shares of all images, 1 together at most"
        )
