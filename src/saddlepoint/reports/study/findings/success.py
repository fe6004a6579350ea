"""Findings about the attack's success: its tiers, its saturation, its spread."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy.stats import bootstrap

from saddlepoint.evaluation.comparison import holm, paired_t_test, probability
from saddlepoint.reports.study.cells import budget_text, paired_by_seed
from saddlepoint.reports.study.comparisons import METRICS, comparisons
from saddlepoint.reports.study.findings.claims import Judged, claim
from saddlepoint.reports.study.findings.measures import Measures
from saddlepoint.reports.study.findings.verdict import (
    FEWEST_SEEDS,
    SIGNIFICANT,
    Verdict,
    absent,
    alike,
    amount,
    ordered,
)

SUCCESS = METRICS[2]
SAME = 0.05  # "do not differ": by less than five points of success, which figure 8 hardly shows
SATURATION_BUDGETS = 3  # two increments, the fewest that can shrink
# The standard deviation of four numbers is uncertain by a factor of almost two; below five seeds the
# resampled ones say nothing of it.
SPREAD_SEEDS = 5
_RESAMPLES = 1999


@claim("Adversarial training forms the best tier: the attack succeeds least on it.")
def best_tier(m: Measures) -> Judged:
    """Judge whether the attack succeeds least on every variant with adversarial training."""
    best, others = m.those(adversarial=True), m.those(adversarial=False)
    reference = m.results.reference
    needed = "variants with adversarial training and an undefended reference"
    m.require(needed, best, others, m.original)
    verdict, evidence = ordered(m.success, list(itertools.product(best, others)), "less")
    adjusted = [
        each.adjusted
        for each in comparisons(m.results, m.attack, [SUCCESS])
        if each.variant in best
    ]
    largest = max((1.0 if p is None else p for p in adjusted), default=1.0)
    if verdict == "holds" and largest >= SIGNIFICANT:
        verdict = "cannot be told"
    return (
        verdict,
        f"Success against every other variant, per-seed means: {evidence}. Against {reference},"
        f" after Holm's correction, the largest p of these variants is {probability(largest)}.",
    )


@claim("The random self-ensemble is second, a tier of its own.")
def second_tier(m: Measures) -> Judged:
    """Judge whether the random self-ensemble stands between adversarial training and the rest."""
    best, second = m.those(adversarial=True), m.those(adversarial=False, self_ensemble=True)
    rest = m.those(adversarial=False, self_ensemble=False)
    m.require("a random self-ensemble beside adversarial training and others", best, second, rest)
    pairs = [*itertools.product(best, second), *itertools.product(second, rest)]
    verdict, evidence = ordered(m.success, pairs, "less")
    return (
        verdict,
        "Success above every variant with adversarial training and below every other, per-seed"
        f" means: {evidence}.",
    )


@claim("The remaining variants do not differ from the original in the attack's success.")
def the_rest(m: Measures) -> Judged:
    """Judge whether the other variants do not differ from the original in the attack's success."""
    reference = m.results.reference
    rest = [v for v in m.those(adversarial=False, self_ensemble=False) if v != reference]
    needed = "quantised or regularised variants and an undefended reference"
    m.require(needed, m.original, rest)
    samples = [paired_by_seed(m.success[v], m.success[reference]) for v in rest]
    tests = [paired_t_test(x, y, "two-sided") for x, y in samples]
    adjusted = holm([test.p for test in tests])
    differing = [
        f"{v} ({100 * test.mean_difference:+.1f} points, p {probability(p)})"
        for v, test, p in zip(rest, tests, adjusted, strict=True)
        if p is not None and p < SIGNIFICANT
    ]
    verdict, evidence = alike(m.success, [(v, reference) for v in rest], SAME)
    if differing:
        return (
            "does not hold",
            f"Per-seed means, two-sided, after Holm's correction over {len(rest)}:"
            f" {', '.join(differing)} differ from {reference}; {evidence}.",
        )
    return (
        verdict,
        f"None of {len(rest)} differs significantly from {reference} after Holm's correction;"
        f" {evidence}.",
    )


@claim("Success saturates in eps: its increments shrink.")
def saturation(m: Measures) -> Judged:
    """Judge whether the increments of the success rate shrink from the smallest eps to the largest."""
    eps = sorted(m.results.budgets)
    if len(eps) < SATURATION_BUDGETS:
        raise absent(f"at least {SATURATION_BUDGETS} budgets")
    used, rates, left_out = _complete(m, eps)
    if rates.shape[1] < FEWEST_SEEDS:
        return "cannot be told", f"{_few(rates)}{left_out}"
    first = (rates[:, :, 1] - rates[:, :, 0]) / (eps[1] - eps[0])
    last = (rates[:, :, -1] - rates[:, :, -2]) / (eps[-1] - eps[-2])
    tests = [paired_t_test(list(x), list(y), "less") for x, y in zip(last, first, strict=True)]
    other = [paired_t_test(list(x), list(y), "greater") for x, y in zip(last, first, strict=True)]
    unit = 100 / 255
    steps = {
        variant: f"{variant} {unit * first[i].mean():.2f} → {unit * last[i].mean():.2f}"
        for i, variant in enumerate(used)
    }
    growing = [
        variant
        for variant, p in zip(used, holm([test.p for test in other]), strict=True)
        if p is not None and p < SIGNIFICANT
    ]
    # Of every variant: a mean over them would hide those that go the other way.
    shown = [test.p is not None and test.p < SIGNIFICANT for test in tests]
    verdict: Verdict = "does not hold" if growing else "holds" if all(shown) else "cannot be told"
    grow = f" They grow, after Holm's correction, in: {', '.join(growing)}." if growing else ""
    text = (
        f"Points per 1/255 of eps, in the first step and in the last: {', '.join(steps.values())}."
        f" They are shown to shrink in {sum(shown)} of {len(used)} variants ({tests[0].n} seeds)."
        f"{grow} Success at eps = {budget_text(m.results, eps[-1])} is"
        f" {amount(float(rates[:, :, -1].mean()))} in the mean.{left_out}"
    )
    return verdict, text


@claim("The spread of the success rate over seeds grows with eps.")
def spread_grows(m: Measures) -> Judged:
    """Judge whether the spread of the success rate over seeds is larger at the largest eps."""
    eps = sorted(m.results.budgets)
    if len(eps) < 2:
        raise absent("at least two budgets")
    used, rates, left_out = _complete(m, eps)
    seeds = rates.shape[1]
    spreads = [_pooled_spread(rates[:, :, k]) for k in range(len(eps))] if seeds > 1 else []
    text = ", ".join(
        f"{100 * sd:.2f} at {budget_text(m.results, e)}"
        for sd, e in zip(spreads, eps, strict=False)
    )
    if seeds < SPREAD_SEEDS:
        start = f"Standard deviation over seeds, in points: {text}; " if text else ""
        return (
            "cannot be told",
            f"{start}{_few(rates)} A deviation needs at least {SPREAD_SEEDS} seeds.{left_out}",
        )
    if rates[:, :, 0].var() == 0 and rates[:, :, -1].var() == 0:
        return "cannot be told", f"No seed differs from another.{left_out}"

    def growth(seed: Any) -> float:
        drawn = seed.astype(np.int64)
        return _pooled_spread(rates[:, drawn, -1]) - _pooled_spread(rates[:, drawn, 0])

    interval = bootstrap(
        (np.arange(seeds),),
        growth,
        confidence_level=1 - 2 * SIGNIFICANT,
        n_resamples=_RESAMPLES,
        method="percentile",
        vectorized=False,
        random_state=np.random.default_rng(0),
    ).confidence_interval
    verdict: Verdict = "cannot be told"
    if interval.low > 0:
        verdict = "holds"
    elif interval.high < 0:
        verdict = "does not hold"
    return (
        verdict,
        f"Standard deviation over {seeds} seeds, pooled over {len(used)} variants, in points:"
        f" {text}; the 90 % bootstrap interval of the growth is {100 * interval.low:+.2f} …"
        f" {100 * interval.high:+.2f}.{left_out}",
    )


def _pooled_spread(rates: Float64[np.ndarray, "v s"]) -> float:
    return float(np.sqrt(rates.var(axis=1, ddof=1).mean()))


def _complete(m: Measures, eps: list[float]) -> tuple[list[str], Float64[np.ndarray, "v s e"], str]:
    """Return the rates of the seeds that every usable variant has at every eps."""
    usable: list[str] = []
    left_out: list[str] = []
    for variant in m.results.variants:
        (left_out if m.obstacle([variant]) else usable).append(variant)
    seeds = [
        seed
        for seed in m.results.seeds
        if all((seed, e) in m.success[variant] for variant in usable for e in eps)
    ]
    rates = np.array(
        [[[m.success[variant][seed, e] for e in eps] for seed in seeds] for variant in usable]
    ).reshape(len(usable), len(seeds) if usable else 0, len(eps))
    note = f" Left out: {', '.join(left_out)}." if left_out else ""
    return usable, rates, note


def _few(rates: Float64[np.ndarray, "v s e"]) -> str:
    return f"{rates.shape[1]} seeds have every usable variant at every eps."
