"""Comparisons of paired repeats: the t-test, its stars, Holm's correction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64
from scipy.special import gammaln
from scipy.stats import ttest_rel

from saddlepoint.errors import InputError, unknown

Alternative = Literal["greater", "less", "two-sided"]

# Differences that agree to this share of the values' own size differ by rounding alone.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class PairedTest:
    """A paired t-test of n repeats against the same repeats of a reference.

    Attributes:
        n: the number of pairs.
        mean_difference: of value − reference; NaN of no pairs.
        t, p: the statistic and its p-value; None where there is no test, and `note` says why.
        effect_size: Hedges' g_z, the mean difference in standard deviations of the differences,
            corrected for few pairs; None where it is not defined.
        note: why a number is missing.

    >>> PairedTest(0, float("nan"), note="no pairs").p is None
    True
    """

    n: int
    mean_difference: float
    t: float | None = None
    p: float | None = None
    effect_size: float | None = None
    note: str = ""


def paired_t_test(
    values: Sequence[float], reference: Sequence[float], alternative: Alternative = "greater"
) -> PairedTest:
    """Test whether the mean of values − reference is above ("greater") or below ("less") 0.

    The pairs must be independent of each other: repeats that share a model or a seed are not, and
    are averaged first. Where all differences are equal there is no p-value, since the test divides
    by their standard deviation. The effect size is J(n − 1)·mean/sd of the differences (Cohen's d_z) with
    J(m) = Γ(m/2) / (√(m/2)·Γ((m − 1)/2)), which removes its bias; it needs three pairs, as J(1) = 0.

    Args:
        values, reference: (n,) numbers, pair by pair.
        alternative: "greater", "less" or "two-sided".

    Raises `InputError` for lengths that differ and for values that are not finite.

    References: Student 1908, "The probable error of a mean"; Hedges 1981, "Distribution theory for
    Glass's estimator of effect size and related estimators".

    >>> test = paired_t_test([0.52, 0.61, 0.55, 0.58], [0.50, 0.55, 0.54, 0.53])
    >>> round(test.t, 3), round(test.p, 4), round(test.effect_size, 3)
    (2.941, 0.0302, 1.064)
    >>> paired_t_test([0.5, 0.6], [0.5, 0.6]).note
    'all differences are equal'
    """
    if alternative not in ("greater", "less", "two-sided"):
        raise unknown("alternative", alternative, ("greater", "less", "two-sided"))
    x, y = finite(values, "values"), finite(reference, "reference")
    if len(x) != len(y):
        raise InputError(f"{len(x)} values and {len(y)} of the reference; give them pair by pair")
    n = len(x)
    if n == 0:
        return PairedTest(0, math.nan, note="no pairs")
    difference = x - y
    mean = float(difference.mean())
    if n == 1:
        return PairedTest(1, mean, note="one pair alone has no standard deviation")
    if np.ptp(difference) <= _ROUNDING * max(np.abs(x).max(), np.abs(y).max()):
        return PairedTest(n, mean, note="all differences are equal")
    test = ttest_rel(x, y, alternative=alternative)
    effect = None
    if n > 2:
        m = n - 1
        correction = math.exp(gammaln(m / 2) - gammaln((m - 1) / 2)) / math.sqrt(m / 2)
        effect = correction * mean / float(difference.std(ddof=1))
    return PairedTest(
        n=n,
        mean_difference=mean,
        t=float(test.statistic),
        p=float(test.pvalue),
        effect_size=effect,
        note="" if n > 2 else "an effect size needs three pairs",
    )


def stars(p: float | None) -> str:
    """Return "***" for p < 0.01, "**" for p < 0.05, "*" for p < 0.1, else nothing.

    >>> stars(0.001), stars(0.01), stars(0.05), stars(0.1), stars(None)
    ('***', '**', '*', '', '')
    """
    if p is None:
        return ""
    return "***" if p < 0.01 else "**" if p < 0.05 else "*" if p < 0.1 else ""


def probability(p: float | None) -> str:
    """Return a p-value with three decimals.

    >>> probability(0.0123), probability(1e-9), probability(None)
    ('0.012', '<0.001', '–')
    """
    if p is None:
        return "–"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return the p-values corrected for their number: each is that of the whole family of tests.

    A test that could not be made (None) is not of the family. A family below 0.05 after the
    correction has a chance of at most 5 % of any false finding, however its tests depend.

    Raises `InputError` for a value outside 0 … 1.

    Reference: Holm 1979, "A simple sequentially rejective multiple test procedure".

    >>> holm([0.01, None, 0.04, 0.03])
    [0.03, None, 0.06, 0.06]
    """
    made = [p for p in p_values if p is not None]
    wrong = [p for p in made if not 0 <= p <= 1]
    if wrong:
        raise InputError(f"a p-value is {wrong[0]}; it lies in 0 … 1, and is None without a test")
    order = np.argsort(made, kind="stable")
    steps = np.maximum.accumulate(np.array(made)[order] * np.arange(len(made), 0, -1))
    corrected = np.empty(len(made))
    corrected[order] = np.minimum(steps, 1)
    each = iter(corrected.tolist())
    return [None if p is None else next(each) for p in p_values]


def finite(values: Sequence[float], name: str) -> Float64[np.ndarray, " n"]:
    """Return the values as an array; raise `InputError` where one is not a finite number.

    >>> finite([1, 2], "values")
    array([1., 2.])
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise InputError(f"{name} has {array.ndim} dimensions; give one row of numbers")
    if not np.isfinite(array).all():
        raise InputError(f"{name} has a value that is not finite; leave that repeat out")
    return array
