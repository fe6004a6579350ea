"""Bounds of a share that hold at all times at once, while images are drawn without replacement."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy.special import gammaln

from saddlepoint.counts import check_count
from saddlepoint.errors import InputError

_MOST = 10**7  # images; a call computes one number for each
_ROUNDING = 1e-7
"""Of logarithms of binomials; a count whose ratio is at the limit up to rounding stays within."""


@dataclass(frozen=True)
class Bounds:
    """Bounds of a count of images out of `total`; unpacks as (low, high).

    Attributes:
        low, high: the least and the largest count, both within.
        total: images in all, seen or not.

    >>> low, high = Bounds(40, 60, 100)
    >>> low, high, Bounds(40, 60, 100).shares, str(Bounds(40, 60, 100))
    (40, 60, (0.4, 0.6), '[40.0, 60.0] % of 100')
    """

    low: int
    high: int
    total: int

    def __iter__(self) -> Iterator[int]:
        return iter((self.low, self.high))

    @property
    def shares(self) -> tuple[float, float]:
        """The bounds as shares of all images."""
        return self.low / self.total, self.high / self.total

    def within(self, earlier: Bounds) -> Bounds:
        """Return the bounds that are left of these and earlier ones of the same images.

        Where nothing is left, one of the two has missed, which happens with a chance of one minus
        the level at most; the later ones, of more images, are then returned.

        Raises `InputError` for bounds of another number of images.

        >>> Bounds(40, 70, 100).within(Bounds(30, 60, 100))
        Bounds(low=40, high=60, total=100)
        """
        if earlier.total != self.total:
            raise InputError(
                f"bounds of {self.total:,} images and of {earlier.total:,} were given; give those of"
                " one sequence"
            )
        low, high = max(self.low, earlier.low), min(self.high, earlier.high)
        return Bounds(low, high, self.total) if low <= high else self

    def __str__(self) -> str:
        low, high = self.shares
        return f"[{100 * low:.1f}, {100 * high:.1f}] % of {self.total:,}"


@dataclass(frozen=True)
class ConfidenceSequence:
    """Bounds of how many of `total` images are successes, from the first of them in random order.

    With a chance of at least `level` the true count lies within the bounds after every number of
    images at once. So one may look after each image and stop whenever the bounds say enough, which an
    interval of a fixed number of images does not allow. After all images the bounds are the count.

    The prior-posterior ratio of a uniform prior over the counts 0 … N is a martingale under the true
    count K, of mean 1: after s successes among t it is 1 / ((t + 1) · P(s | t, K, N)), P being
    hypergeometric. By Ville's inequality it reaches 1 / (1 − level) with a chance of 1 − level at most,
    and the counts where it has not are within. P has one mode in K, so that they have no gaps.

    Reference: Waudby-Smith and Ramdas 2020, "Confidence sequences for sampling without replacement",
    arXiv:2006.04448, Section 2, with the beta-binomial prior a = b = 1.

    Args:
        total: N, images in all.
        level: of the whole sequence.

    Raises `InputError` for numbers that none can mean.

    >>> sequence = ConfidenceSequence(1000)
    >>> [tuple(sequence.after(successes, 2 * successes)) for successes in (0, 50, 250, 500)]
    [(0, 1000), (352, 648), (445, 555), (500, 500)]
    """

    total: int
    level: float = 0.95

    def __post_init__(self) -> None:
        check_count("total", self.total, most=_MOST)
        if not 0 < self.level < 1:
            raise InputError(f"level is {self.level}; give a share, for instance 0.95")

    def after(self, successes: int, seen: int, earlier: Bounds | None = None) -> Bounds:
        """Return the bounds after `successes` among the first `seen` images.

        Args:
            earlier: what was returned before, if anything: the bounds are then those of all times
                together, which are never wider.

        Raises `InputError` for counts that cannot be.

        >>> sequence = ConfidenceSequence(100)
        >>> ten = sequence.after(9, 10)
        >>> tuple(ten), tuple(sequence.after(12, 20, ten))
        ((48, 99), (48, 84))
        """
        check_count("seen", seen, least=0, most=self.total)
        check_count("successes", successes, least=0, most=seen)
        first, last = successes, self.total - (seen - successes)
        counts = np.arange(first, last + 1, dtype=np.float64)
        logs = (
            _log_binomial(counts, successes)
            + _log_binomial(self.total - counts, seen - successes)
            - _log_binomial(np.array([float(self.total)]), seen)
        )
        limit = math.log(1 - self.level) - math.log(seen + 1) - _ROUNDING
        kept = np.flatnonzero(logs > limit)
        now = Bounds(first + int(kept[0]), first + int(kept[-1]), self.total)
        return now if earlier is None else now.within(earlier)


def _log_binomial(n: Float64[np.ndarray, " c"], k: int) -> Float64[np.ndarray, " c"]:
    found: Float64[np.ndarray, " c"] = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return found
