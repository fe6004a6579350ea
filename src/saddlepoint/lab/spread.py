"""The mean of a value over repetitions, how far it spreads, and the tables of both."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Self

from saddlepoint.lab.table import Cell, Table


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


def spread_tables(
    labels: Sequence[str],
    names: Sequence[str],
    rows: Iterable[tuple[Sequence[Cell], Sequence[Iterable[float]]]],
    shown: int | None = None,
) -> Mapping[str, Table]:
    """Return two tables of values over repetitions: `summary` has the means, so many columns that a
    terminal has room for them, `spreads` the means and the standard deviations.

    Args:
        labels: the names of the columns that say what a row is.
        names: those of the values.
        rows: the labels of each, and the repetitions of every value.
        shown: so many of the values are in the summary, or all.

    >>> tables = spread_tables(["width"], ["error"], [([1], [[0.25, 0.75]])])
    >>> tables["summary"].rows, tables["spreads"].columns
    (((1, 0.5),), ('width', 'error', 'error sd'))
    """
    found = [(label, [Spread.of(value) for value in values]) for label, values in rows]
    means = ((*label, *(each.mean for each in values[:shown])) for label, values in found)
    spreads = ((*label, *(number for each in values for number in each)) for label, values in found)
    columns = (column for name in names for column in (name, f"{name} sd"))
    return {
        "summary": Table((*labels, *names[:shown]), tuple(means)),
        "spreads": Table((*labels, *columns), tuple(spreads)),
    }
