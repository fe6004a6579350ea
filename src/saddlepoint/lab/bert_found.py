"""What the experiments on pre-training with few labels found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from saddlepoint.lab.spread import spread_tables
from saddlepoint.lab.table import Table

FROZEN = ", frozen"
"""What the name of a start ends with, of which the features alone were used."""


@dataclass(frozen=True)
class Tuned:
    """The test accuracy of one classifier."""

    start: str
    labels: int
    seed: int
    rate: float
    accuracy: float


@dataclass(frozen=True)
class BertLabels:
    """What was found.

    >>> BertLabels((Tuned("from scratch", 100, 1, 0.001, 0.55),), 10).tables()["summary"].rows
    (('from scratch', 100, 0.55),)
    """

    found: tuple[Tuned, ...]
    tested: int

    @property
    def starts(self) -> tuple[str, ...]:
        """The names, in their order."""
        return tuple(dict.fromkeys(each.start for each in self.found))

    def of(self, start: str) -> dict[int, list[float]]:
        """Return the accuracies of the seeds by the number of labels."""
        found: dict[int, list[float]] = {}
        for each in self.found:
            if each.start == start:
                found.setdefault(each.labels, []).append(each.accuracy)
        return found

    def tables(self) -> Mapping[str, Table]:
        """Return means over seeds, their spread, and every classifier."""
        rows = [
            ((start, count), [values])
            for start in self.starts
            for count, values in self.of(start).items()
        ]
        every = tuple((e.start, e.labels, e.seed, e.rate, e.accuracy) for e in self.found)
        return {
            **spread_tables(("start", "labels"), ("accuracy",), rows),
            "classifiers": Table(("start", "labels", "seed", "rate", "accuracy"), every),
        }
