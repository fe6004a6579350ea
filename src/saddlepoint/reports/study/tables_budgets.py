"""The tables of a study's report: by budget, image by image, and how long it took."""

from __future__ import annotations

import math
from collections import defaultdict

import pyarrow as pa
import pyarrow.compute as pc

from saddlepoint.reports.study.cells import (
    budget_text,
    chosen_attack,
    counted,
    evaluation_cells,
)
from saddlepoint.reports.study.comparisons import METRICS, standard_deviation
from saddlepoint.reports.study.comparisons_images import image_comparisons
from saddlepoint.reports.study.formats import Cell, Numbers, TextTable
from saddlepoint.reports.study.tables_text import MISSING, marked, shared_notes, spread
from saddlepoint.studies.results import StudyResults

_IMAGE_COLUMNS = (
    "variant", "seed", "eps", "images", "right_here_alone", "right_in_reference_alone", "p",
    "adjusted_p", "direction",
)  # fmt: skip
_TIME_COLUMNS = (
    "variant", "trainings", "training_mean_s", "training_sd_s", "training_total_s",
    "evaluations", "evaluation_mean_s", "evaluation_sd_s", "evaluation_total_s",
)  # fmt: skip


def by_budget_table(results: StudyResults, attack: str | None = None) -> TextTable:
    """Return the three metrics of every variant at each eps: mean ± standard deviation over seeds.

    >>> results = StudyResults("s", "S", {}, ("original",), "original", (0,), (8 / 255,), ("pgd",), "Linf")
    >>> by_budget_table(results).columns
    ('variant', 'metric', 'eps = 8/255')
    """
    attack = chosen_attack(results, attack)
    names = marked(results, attack)
    cells = {metric: evaluation_cells(results, metric.column, attack) for metric in METRICS}
    rows, numbers = [], []
    for variant in results.variants:
        for metric in METRICS:
            row = [names[variant], metric.label]
            for eps in results.budgets:
                here = [value for (_, e), value in cells[metric][variant].items() if e == eps]
                mean = math.fsum(here) / len(here) if here else None
                row.append(spread(mean, standard_deviation(here)))
                numbers.append(
                    (variant, metric.column, eps, len(here), mean, standard_deviation(here))
                )
            rows.append(tuple(row))
    return TextTable(
        caption=f"The variants by budget under {attack} ({results.threat}).",
        columns=(
            "variant",
            "metric",
            *(f"eps = {budget_text(results, eps)}" for eps in results.budgets),
        ),
        rows=tuple(rows),
        notes=("In %: mean ± standard deviation over seeds.", *shared_notes(results, attack)),
        numbers=Numbers(("variant", "metric", "eps", "seeds", "mean", "sd"), tuple(numbers)),
    )


def mcnemar_table(results: StudyResults, attack: str | None = None) -> TextTable:
    """Return in how many seeds McNemar's test tells each variant from the reference, at each eps.

    >>> results = StudyResults("s", "S", {}, ("a", "b"), "a", (0,), (8 / 255,), ("pgd",), "Linf")
    >>> mcnemar_table(results).rows
    (('b (no conclusion)', '–'),)
    """
    attack = chosen_attack(results, attack)
    names = marked(results, attack)
    found = image_comparisons(results, attack)
    counts: dict[tuple[str, float], list[str]] = defaultdict(list)
    for each in found:
        counts[each.variant, each.eps].append(each.direction)

    def cell(variant: str, eps: float) -> str:
        seeds = counts.get((variant, eps))
        if not seeds:
            return MISSING
        return f"{seeds.count('better')} better, {seeds.count('worse')} worse of {len(seeds)}"

    notes = [
        "Seeds in which the variant is right after the attack on significantly more (better) or"
        f" fewer (worse) images than {results.reference} of the same seed: McNemar's exact test at"
        f" 5 %, after Holm's correction over {counted(len(found), 'test')}. It compares trained models on"
        " the images; whether the way of training is better is what the tests over seeds say.",
        *shared_notes(results, attack),
    ]
    return TextTable(
        caption=f"Image by image against {results.reference} under {attack} ({results.threat}).",
        columns=("variant", *(f"eps = {budget_text(results, eps)}" for eps in results.budgets)),
        rows=tuple(
            (names[variant], *(cell(variant, eps) for eps in results.budgets))
            for variant in results.variants
            if variant != results.reference
        ),
        notes=tuple(notes),
        numbers=Numbers(
            _IMAGE_COLUMNS,
            tuple(
                (
                    each.variant, each.seed, each.eps, each.images, each.better, each.worse, each.p,
                    each.adjusted, each.direction,
                )
                for each in found
            ),
        ),
    )  # fmt: skip


def timings_table(results: StudyResults, attack: str | None = None) -> TextTable:
    """Return how long training a model and one evaluation took, for every variant.

    >>> results = StudyResults("s", "S", {}, ("original",), "original", (0,), (0.1,), ("pgd",), "Linf")
    >>> timings_table(results).rows
    (('original', '0', '–', '0', '–'),)
    """
    attack = chosen_attack(results, attack)
    evaluations = results.evaluations.filter(pc.equal(results.evaluations["attack"], attack))
    trained, evaluated = _seconds(results.trainings), _seconds(evaluations)
    rows: list[tuple[str, ...]] = []
    numbers: list[tuple[Cell, ...]] = []
    for variant in results.variants:
        texts: list[str] = [variant]
        line: list[Cell] = [variant]
        for here in (trained.get(variant, []), evaluated.get(variant, [])):
            mean = math.fsum(here) / len(here) if here else None
            texts += [str(len(here)), MISSING if mean is None else f"{mean:.1f}"]
            line += [len(here), mean, standard_deviation(here), math.fsum(here)]
        rows.append(tuple(texts))
        numbers.append(tuple(line))
    total = math.fsum(math.fsum(each) for each in [*trained.values(), *evaluated.values()])
    return TextTable(
        caption=f"Mean seconds of a training and of an evaluation with {attack}.",
        columns=("variant", "models", "training (s)", "evaluations", "evaluation (s)"),
        rows=tuple(rows),
        notes=(
            f"In all {total:.0f} s. Times of cells that ran side by side include their waiting for"
            " each other, and depend on the machine.",
        ),
        numbers=Numbers(_TIME_COLUMNS, tuple(numbers)),
    )


def _seconds(table: pa.Table) -> dict[str, list[float]]:
    times: dict[str, list[float]] = defaultdict(list)
    for row in table.select(["variant", "seconds"]).to_pylist():
        if row["seconds"] is not None and math.isfinite(row["seconds"]):
            times[row["variant"]].append(row["seconds"])
    return times
