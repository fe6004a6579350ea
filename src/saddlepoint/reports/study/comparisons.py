"""Every variant of a study against the reference: the test over seeds, and beside it the one that the
nine-defences report printed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from saddlepoint.evaluation.bootstrap import Interval, bootstrap_interval
from saddlepoint.evaluation.comparison import PairedTest, holm, paired_t_test, stars
from saddlepoint.reports.study.cells import (
    by_seed,
    chosen_attack,
    evaluation_cells,
    mean,
    paired,
    paired_by_seed,
)
from saddlepoint.studies.results import StudyResults

STAR_SEEDS = 5
"""The fewest seeds with stars: the spread of fewer is too uncertain for a mark that is read as a fact."""


@dataclass(frozen=True)
class Metric:
    """What is compared: a column of the evaluations and the direction that a defence aims for.

    >>> Metric("robust_accuracy", "after the attack", "greater").alternative
    'greater'
    """

    column: str
    label: str
    alternative: Literal["greater", "less"]


METRICS = (
    Metric("clean_accuracy", "before the attack", "greater"),
    Metric("robust_accuracy", "after the attack", "greater"),
    Metric("success_rate", "attack success", "less"),
)
"""The three numbers of figure 8 of the nine-defences report."""


@dataclass(frozen=True)
class Summary:
    """One variant in one metric.

    Attributes:
        variant, metric: which.
        repeats, seeds: the number of (seed, eps) and of seeds behind it.
        sd_repeats: the standard deviation over all (seed, eps): eps is part of it.
        sd_seeds: that of the per-seed means, what another seed might have changed.
        interval: the mean of all repeats and its 95 % bootstrap interval over seeds.
        conclusive: whether the clean accuracy is high enough to conclude anything.

    >>> Summary("a", METRICS[0], 0, 0, None, None, Interval(float("nan"), None, None, 0), False).seeds
    0
    """

    variant: str
    metric: Metric
    repeats: int
    seeds: int
    sd_repeats: float | None
    sd_seeds: float | None
    interval: Interval
    conclusive: bool


@dataclass(frozen=True)
class Comparison:
    """One variant against the reference in one metric.

    Attributes:
        variant, metric: which.
        repeats: the test of the nine-defences report, over every (seed, eps) that both have. The
            repeats of one seed are not independent, so that its n is too large and its p too small.
        seeds: the test to go by, over per-seed means.
        adjusted: the p-value of `seeds` by Holm's correction over all variants in this metric.
        conclusive: whether both have the clean accuracy that a conclusion needs.

    >>> ten, four = PairedTest(10, 0.1, p=0.001), PairedTest(4, 0.1, p=0.001)
    >>> Comparison("a", METRICS[0], ten, ten, 0.03, conclusive=True).stars_seeds
    '**'
    >>> Comparison("a", METRICS[0], ten, four, 0.03, conclusive=True).stars_seeds
    ''
    """

    variant: str
    metric: Metric
    repeats: PairedTest
    seeds: PairedTest
    adjusted: float | None
    conclusive: bool

    @property
    def starred(self) -> bool:
        """Whether it may have stars: seeds enough, and clean accuracy enough for a conclusion."""
        return self.conclusive and self.seeds.n >= STAR_SEEDS

    @property
    def stars_repeats(self) -> str:
        """Those that the nine-defences report would have printed."""
        return stars(self.repeats.p) if self.starred else ""

    @property
    def stars_seeds(self) -> str:
        """The stars of the test over seeds, after the correction."""
        return stars(self.adjusted) if self.starred else ""


def conclusive_variants(results: StudyResults, attack: str | None = None) -> dict[str, bool]:
    """Return of every variant whether its mean clean accuracy allows conclusions.

    A model that is hardly right before the attack tells nothing about a defence.

    >>> results = StudyResults("s", "S", {}, ("original",), "original", (0,), (0.1,), ("pgd",), "Linf")
    >>> conclusive_variants(results)
    {'original': False}
    """
    cells = evaluation_cells(results, "clean_accuracy", chosen_attack(results, attack))
    return {name: mean(each) >= results.minimum_clean_accuracy for name, each in cells.items()}


def summaries(results: StudyResults, attack: str | None = None) -> list[Summary]:
    """Return mean, standard deviation and interval of every variant in every metric.

    Args:
        results: of the study, finished or not.
        attack: its name; None for the study's first.

    >>> results = StudyResults("s", "S", {}, ("original",), "original", (0,), (0.1,), ("pgd",), "Linf")
    >>> [each.repeats for each in summaries(results)]
    [0, 0, 0]
    """
    attack = chosen_attack(results, attack)
    conclusive = conclusive_variants(results, attack)
    found = []
    for metric in METRICS:
        for variant, cells in evaluation_cells(results, metric.column, attack).items():
            interval = bootstrap_interval(list(cells.values()), groups=[seed for seed, _ in cells])
            per_seed = by_seed(cells)
            found.append(
                Summary(
                    variant=variant,
                    metric=metric,
                    repeats=len(cells),
                    seeds=len(per_seed),
                    sd_repeats=standard_deviation(list(cells.values())),
                    sd_seeds=standard_deviation(list(per_seed.values())),
                    interval=interval,
                    conclusive=conclusive[variant],
                )
            )
    return found


def comparisons(
    results: StudyResults, attack: str | None = None, metrics: Sequence[Metric] = METRICS
) -> list[Comparison]:
    """Return every variant but the reference, tested against it in every metric.

    Only the (seed, eps) that both have are paired. The tests are one-sided: accuracies above the
    reference's, success of the attack below it.

    Args:
        results: of the study, finished or not.
        attack: its name; None for the study's first.
        metrics: which.

    >>> results = StudyResults("s", "S", {}, ("original", "a"), "original", (0,), (0.1,), ("pgd",), "Linf")
    >>> comparisons(results)[0].seeds.note
    'no pairs'
    """
    attack = chosen_attack(results, attack)
    conclusive = conclusive_variants(results, attack)
    found = []
    for metric in metrics:
        cells = evaluation_cells(results, metric.column, attack)
        reference = cells.get(results.reference, {})
        others = [variant for variant in results.variants if variant != results.reference]
        repeats, seeds = [], []
        for variant in others:
            _, values, base = paired(cells[variant], reference)
            repeats.append(paired_t_test(values, base, metric.alternative))
            seeds.append(
                paired_t_test(*paired_by_seed(cells[variant], reference), metric.alternative)
            )
        adjusted = holm([test.p for test in seeds])
        found += [
            Comparison(
                variant=variant,
                metric=metric,
                repeats=as_printed,
                seeds=honest,
                adjusted=p,
                conclusive=conclusive[variant] and conclusive.get(results.reference, False),
            )
            for variant, as_printed, honest, p in zip(others, repeats, seeds, adjusted, strict=True)
        ]
    return found


def standard_deviation(numbers: list[float]) -> float | None:
    """Return the standard deviation, by n − 1; None of fewer than two numbers.

    >>> standard_deviation([1.0, 3.0]), standard_deviation([1.0])
    (1.4142135623730951, None)
    """
    if len(numbers) < 2:
        return None
    value = float(np.std(numbers, ddof=1))
    return value if math.isfinite(value) else None
