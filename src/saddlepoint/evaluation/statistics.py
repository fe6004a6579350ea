"""Proportions with the uncertainty that their number of images allows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import beta, binomtest

from saddlepoint.errors import InputError


@dataclass(frozen=True)
class Proportion:
    """A share of a number of images, with its 95 % Wilson interval.

    Reference: Wilson 1927, "Probable inference, the law of succession, and statistical inference".

    >>> accuracy = Proportion(55, 100)
    >>> [round(share, 3) for share in (accuracy.value, accuracy.low, accuracy.high)]
    [0.55, 0.452, 0.644]
    >>> str(accuracy)
    '55.0 % [45.2, 64.4]'
    """

    count: int
    total: int

    @property
    def value(self) -> float:
        """The share in single precision, to the bit what torch's mean of as many outcomes gives;
        NaN of nothing.
        """
        return float(np.float32(self.count / self.total)) if self.total else float("nan")

    @property
    def low(self) -> float:
        """The lower end of the interval."""
        return self._interval()[0]

    @property
    def high(self) -> float:
        """The upper end of the interval."""
        return self._interval()[1]

    def _interval(self) -> tuple[float, float]:
        if not self.total:
            return 0.0, 1.0
        interval = binomtest(self.count, self.total).proportion_ci(0.95, method="wilson")
        return float(interval.low), float(interval.high)

    def __str__(self) -> str:
        if not self.total:
            return "–"
        return f"{100 * self.value:.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}]"

    def json(self) -> dict[str, float | int | None]:
        """Return the numbers for a record.

        >>> Proportion(1, 2).json()["count"]
        1
        """
        value = self.count / self.total if self.total else None
        return {
            "value": value,
            "low": self.low,
            "high": self.high,
            "count": self.count,
            "total": self.total,
        }


def at_most(count: int, total: int, confidence: float = 0.95) -> float:
    """Return the exact upper bound of a share of which `count` in `total` were seen, one-sided.

    Raises `InputError` for counts and confidences that cannot be.

    Reference: Clopper and Pearson 1934, "The use of confidence or fiducial limits illustrated in the
    case of the binomial".

    >>> round(at_most(0, 59), 4), round(at_most(0, 6), 4), at_most(6, 6)
    (0.0495, 0.393, 1.0)
    """
    if not 0 <= count <= total or not total:
        raise InputError(f"{count} of {total} is no share; count some of at least one")
    if not 0 < confidence < 1:
        raise InputError(f"confidence is {confidence}; give a share, for instance 0.95")
    return 1.0 if count == total else float(beta.ppf(confidence, count + 1, total - count))
