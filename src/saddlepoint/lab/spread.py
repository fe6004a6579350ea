"""The mean of a value over repetitions, and how far it spreads."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from typing import NamedTuple, Self


class Spread(NamedTuple):
    """The mean of a value over repetitions, and its standard deviation; NaN where there is none.

    >>> str(Spread.of([0.25, 0.75])), str(Spread.of([0.5]))
    ('0.500 ± 0.354', '0.500')
    """

    mean: float
    sd: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        """Return that of the values that are there, leaving out NaN.

        >>> Spread.of([1.0, 3.0, float("nan")]).mean, Spread.of([])
        (2.0, Spread(mean=nan, sd=nan))
        """
        there = [value for value in values if not math.isnan(value)]
        return cls(
            statistics.fmean(there) if there else math.nan,
            statistics.stdev(there) if len(there) > 1 else math.nan,
        )

    def __str__(self) -> str:
        return f"{self.mean:.3f}" if math.isnan(self.sd) else f"{self.mean:.3f} ± {self.sd:.3f}"
