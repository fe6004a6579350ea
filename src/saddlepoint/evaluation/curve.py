"""Robust accuracy at every budget: a step function of the distances that were found."""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from saddlepoint.errors import InputError
from saddlepoint.evaluation.statistics import Proportion
from saddlepoint.threat import parse_eps


@dataclass(frozen=True)
class Curve:
    """Robust accuracy as a function of the budget, which falls where an image is reached.

    Attributes:
        eps: where it changes, ascending, after a first 0: the distances that were found, in the units
            of the threat model; in L0 numbers of features.
        robust_accuracy: from each of them on, up to the next; the first is clean accuracy.
        median_distance: of the images that were right before; infinity where fewer than half of
            them were fooled, NaN where none was right.

    >>> curve = Curve((0.0, 0.1, 0.3), (Proportion(9, 10), Proportion(8, 10), Proportion(6, 10)), 0.3)
    >>> curve.at(0.2).count, curve.at("8/255").count, curve.at(0.3).count
    (8, 9, 6)
    """

    eps: tuple[float, ...]
    robust_accuracy: tuple[Proportion, ...]
    median_distance: float

    def at(self, eps: float | str) -> Proportion:
        """Return robust accuracy at a budget, without the judge's tolerance."""
        return self.robust_accuracy[bisect.bisect_right(self.eps, parse_eps(eps)) - 1]

    def json(self) -> dict[str, Any]:
        """Return the curve as JSON values, null for a median that is no number.

        >>> Curve((0.0,), (Proportion(1, 1),), math.inf).json()["median_distance"] is None
        True
        """
        median = self.median_distance
        return {
            "eps": list(self.eps),
            "robust_accuracy": [each.value for each in self.robust_accuracy],
            "median_distance": median if math.isfinite(median) else None,
        }


def curve_of(clean: Proportion, attempts: pa.Table) -> Curve:
    """Return the curve of an evaluation, by the nearest of what its attacks found of each image.

    Args:
        clean: clean accuracy.
        attempts: the record's; those for all budgets at once have no eps.

    Raises `InputError` where nothing but single budgets was looked at.

    >>> attempts = pa.table({"id": [0, 1, 0], "eps": [None, None, 0.5], "success": [True, False, True],
    ...                      "distance": [0.7, float("inf"), 0.4]})
    >>> curve_of(Proportion(2, 3), attempts)
    Curve(eps=(0.0, 0.4), robust_accuracy=(Proportion(count=2, total=3), Proportion(count=1, ...
    """
    if clean.count and not attempts["eps"].null_count:
        raise InputError(
            "the record knows its budgets alone, and no distances; evaluate with the suite"
            " minimum-norm, or with a minimum-norm attack"
        )
    nearest: dict[int, float] = {}
    hit = attempts.filter(attempts["success"])
    for image, distance in zip(hit["id"].to_pylist(), hit["distance"].to_pylist(), strict=True):
        nearest[image] = min(distance, nearest.get(image, math.inf))
    found: NDArray[np.float64] = np.sort(np.array([*nearest.values()], dtype=np.float64))
    eps, counts = np.unique(found, return_counts=True)
    standing = clean.count - np.concatenate([[0], counts]).cumsum()
    every = np.concatenate([found, np.full(clean.count - len(found), math.inf)])
    # The lower one of the two in the middle, which is a distance of an image.
    median = float(every[(len(every) - 1) // 2]) if len(every) else math.nan
    return Curve(
        (0.0, *eps.tolist()),
        tuple(Proportion(int(count), clean.total) for count in standing),
        median,
    )
