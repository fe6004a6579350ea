"""The mean of shares, one per image, that were each counted in several draws of a random model."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy.stats import norm, t

_Z = float(norm.ppf(0.975))
_PRIOR = (0.0, 1.0)


@dataclass(frozen=True)
class MeanShare:
    """The mean share over images, with its 95 % interval.

    Attributes:
        value: the mean; NaN of no image.
        low, high: the ends of the interval.
        images: over which the mean is.

    >>> str(MeanShare(0.5, 0.4, 0.6, 100))
    '50.0 % [40.0, 60.0]'
    """

    value: float
    low: float
    high: float
    images: int

    def __str__(self) -> str:
        if not self.images:
            return "–"
        return f"{100 * self.value:.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}]"

    def json(self) -> dict[str, float | int | None]:
        """Return the numbers for a record.

        >>> MeanShare(math.nan, 0.0, 1.0, 0).json()["value"] is None
        True
        """
        value = self.value if self.images else None
        return {"value": value, "low": self.low, "high": self.high, "images": self.images}


def mean_share(shares: Float64[np.ndarray, " n"], trials: float = 1.0) -> MeanShare:
    """Return the mean of the shares and its interval over other images *and* other draws.

    Images are sampled, and the draws of each image within it: a sample in clusters. The interval is
    Wilson's for the number of independent draws that the mean is worth, p(1 − p) over its estimated
    variance, as Korn and Graubard have it for such samples, with their correction for few clusters.
    It is never taken for less than one draw per image, which no spread can undercut, nor for more
    than `trials` per image. The variance is that of the shares and of two more, 0 and 1: where all
    images that were seen agree, one that was not may differ.

    Args:
        shares: (n,) numbers from 0 to 1, one per image.
        trials: the independent draws behind each; with 1, or where every share is 0 or 1, it is
            the interval of `Proportion`.

    Reference: Korn and Graubard 1998, "Confidence intervals for proportions with small expected
    number of positive counts estimated from survey data"; Wilson 1927.

    >>> str(mean_share(np.array([1.0] * 55 + [0.0] * 45), trials=100))  # as of 55 in 100 images
    '55.0 % [45.2, 64.4]'
    >>> str(mean_share(np.full(100, 0.55), trials=100))  # all images alike: 4,800 tosses
    '55.0 % [53.6, 56.4]'
    """
    count = len(shares)
    if not count:
        return MeanShare(math.nan, 0.0, 1.0, 0)
    value = float(shares.mean())
    worth = _draws_worth(shares, trials)
    spread = _Z**2 / worth
    middle = (value + spread / 2) / (1 + spread)
    half = math.sqrt(spread * value * (1 - value) + spread**2 / 4) / (1 + spread)
    return MeanShare(value, max(middle - half, 0.0), min(middle + half, 1.0), count)


def _draws_worth(shares: Float64[np.ndarray, " n"], trials: float) -> float:
    """Return of how many independent draws a mean has the variance that this one has."""
    count = len(shares)
    if count == 1:
        return 1.0
    seen = np.append(shares, _PRIOR)
    value, variance = float(seen.mean()), float(seen.var(ddof=1)) / count
    few = (_Z / float(t.ppf(0.975, count - 1))) ** 2
    return min(max(few * value * (1 - value) / variance, count), max(trials, 1.0) * count)
