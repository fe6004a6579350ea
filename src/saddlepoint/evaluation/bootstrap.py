"""The bootstrap interval of a mean whose values come in groups."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import bootstrap

from saddlepoint.errors import InputError
from saddlepoint.evaluation.comparison import finite

_RESAMPLES = 9999
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Interval:
    """A mean and its bootstrap interval.

    Attributes:
        mean: of all values; NaN of none.
        low, high: the ends; None where there is no interval, and `note` says why.
        groups: the number of independent groups that were resampled.
        method: "BCa", "percentile" or "".
        note: why there is no interval, or no proper one.

    >>> Interval(0.5, None, None, 1, "", "one group").low is None
    True
    """

    mean: float
    low: float | None
    high: float | None
    groups: int
    method: str = ""
    note: str = ""


def bootstrap_interval(
    values: Sequence[float],
    confidence: float = 0.95,
    seed: int = 0,
    groups: Sequence[Hashable] | None = None,
) -> Interval:
    """Return the mean of the values and its bias-corrected and accelerated bootstrap interval.

    The repeats of a study at several eps of one seed share a model, or at least its initial
    weights and the order of its batches; a bootstrap that drew them one by one would take them for
    independent and be too narrow. `groups` therefore names the seed of each value, and whole
    groups are drawn. Where the corrections are not defined, the percentiles stand; where all groups
    are equal, the interval is a point and says so. Of a few groups, any bootstrap interval is
    too narrow.

    Args:
        values: (n,) numbers.
        confidence: the share of intervals that should hold the true mean.
        seed: of the resampling.
        groups: (n,) what each value belongs to; None for values that are all independent.

    Raises `InputError` for lengths that differ and for values that are not finite.

    References: Efron 1987, "Better bootstrap confidence intervals"; Davison and Hinkley 1997,
    "Bootstrap methods and their application", section 3.8, on whole groups.

    >>> interval = bootstrap_interval([0.1, 0.2, 0.3, 0.5, 0.4])
    >>> round(interval.mean, 2), round(interval.low, 2), round(interval.high, 2)
    (0.3, 0.18, 0.42)
    >>> bootstrap_interval([0.1, 0.2, 0.1, 0.2], groups=[0, 0, 1, 1]).note
    'all groups are equal'
    """
    if not 0 < confidence < 1:
        raise InputError(f"confidence is {confidence}; give a share, for instance 0.95")
    numbers = finite(values, "values")
    labels = list(range(len(numbers))) if groups is None else list(groups)
    if len(labels) != len(numbers):
        raise InputError(f"{len(numbers)} values and {len(labels)} groups; give one each")
    if not labels:
        return Interval(float("nan"), None, None, 0, note="no values")
    places = {label: place for place, label in enumerate(dict.fromkeys(labels))}
    index = np.array([places[label] for label in labels])
    counts = np.bincount(index).astype(np.float64)
    sums = np.bincount(index, weights=numbers)
    mean = float(numbers.mean())
    if len(places) == 1:
        return Interval(mean, None, None, 1, note="one group has no interval")
    if np.ptp(sums / counts) <= _ROUNDING * np.abs(numbers).max():
        return Interval(mean, mean, mean, len(places), note="all groups are equal")
    for method in ("BCa", "percentile"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of degenerate distributions: they are handled below
            ends = bootstrap(
                (sums, counts),
                _pooled_mean,
                paired=True,
                confidence_level=confidence,
                n_resamples=_RESAMPLES,
                method=method,
                random_state=np.random.default_rng(seed),
            ).confidence_interval
        low, high = float(ends.low), float(ends.high)
        if np.isfinite([low, high]).all():
            break
    note = "" if method == "BCa" else "percentiles: the corrections are not defined"
    return Interval(mean, low, high, len(places), method, note)


def _pooled_mean(sums: Any, counts: Any, axis: int = -1) -> Any:
    return sums.sum(axis=axis) / counts.sum(axis=axis)
