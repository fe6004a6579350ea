"""The tables of a study's report: accuracy by eps, the variants, and their tests against the
reference.
"""

from __future__ import annotations

import math

from saddlepoint.evaluation.comparison import PairedTest, probability
from saddlepoint.reports.study.cells import budget_text, by_seed, chosen_attack, evaluation_cells
from saddlepoint.reports.study.comparisons import (
    METRICS,
    Comparison,
    comparisons,
    standard_deviation,
    summaries,
)
from saddlepoint.reports.study.findings.study import is_nine_defences
from saddlepoint.reports.study.formats import Cell, Numbers, TextTable
from saddlepoint.reports.study.tables_text import (
    MISSING,
    marked,
    number,
    percent,
    shared_notes,
    spread,
    star_notes,
)
from saddlepoint.studies.results import StudyResults

_SUMMARY_COLUMNS = (
    "variant", "metric", "seeds", "repeats", "mean", "sd_between_seeds", "sd_of_repeats", "low",
    "high", "method", "note", "stars", "conclusive",
)  # fmt: skip
_TEST_COLUMNS = (
    "variant", "metric", "alternative", "conclusive", "seeds", "mean_difference", "t", "p", "effect",
    "note", "adjusted_p", "stars",
)  # fmt: skip
_OVER_EPS = "mean over eps"
# Of the nine-defences report's own test, over every (seed, eps).
_THEIR_COLUMNS = tuple(
    f"nine_defences_test_{name}"
    for name in ("n", "mean_difference", "t", "p", "effect", "note", "stars")
)


def accuracy_table(results: StudyResults, attack: str | None = None) -> TextTable:
    """Return the table that leads: accuracy of every variant against eps, and its mean over eps.

    Stars stand at the mean, where the test over seeds is; of one eps there is no other mean.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> accuracy_table(toy_results()).columns
    ('variant', 'no attack', 'eps = 0.1', 'eps = 0.2', 'mean over eps')
    """
    attack = chosen_attack(results, attack)
    names = marked(results, attack)
    clean, robust = (evaluation_cells(results, metric.column, attack) for metric in METRICS[:2])
    tests = {each.variant: each for each in comparisons(results, attack, METRICS[1:2])}
    several = len(results.budgets) > 1
    rows: list[tuple[str, ...]] = []
    numbers: list[list[Cell]] = []
    for variant in results.variants:
        points: list[tuple[Cell, list[float]]] = [(0.0, list(by_seed(clean[variant]).values()))]
        points += [
            (eps, [value for (_, e), value in robust[variant].items() if e == eps])
            for eps in results.budgets
        ]
        if several:
            points.append((_OVER_EPS, list(by_seed(robust[variant]).values())))
        stars = tests[variant].stars_seeds if variant in tests else ""
        texts = []
        for eps, values in points:
            centre = math.fsum(values) / len(values) if values else None
            sd = standard_deviation(values)
            texts.append(spread(centre, sd))
            numbers.append([variant, eps, len(values), centre, sd, ""])
        numbers[-1][-1] = stars
        rows.append((names[variant], *texts[:-1], f"{texts[-1]} {stars}".rstrip()))
    return TextTable(
        caption=f"Accuracy against eps under {attack} ({results.threat}).",
        columns=(
            "variant", "no attack", *(f"eps = {budget_text(results, eps)}" for eps in results.budgets),
            *([_OVER_EPS] if several else []),
        ),
        rows=tuple(rows),
        notes=(
            "In % of all images: mean ± standard deviation over the seeds.",
            *star_notes(results, attack),
            *shared_notes(results, attack),
        ),
        numbers=Numbers(("variant", "eps", "seeds", "mean", "sd", "stars"), tuple(map(tuple, numbers))),
    )  # fmt: skip


def variants_table(results: StudyResults, attack: str | None = None) -> TextTable:
    """Return the main table: every variant before and after the attack, and the attack's success.

    Each is the mean ± the standard deviation between the means of the seeds, with the 95 %
    bootstrap interval over seeds and the stars of the test over seeds.

    >>> results = StudyResults("s", "S", {}, ("original",), "original", (0,), (0.1,), ("pgd",), "Linf")
    >>> variants_table(results).rows
    (('original (no conclusion)', '0 / 0', '–', '–', '–'),)
    """
    attack = chosen_attack(results, attack)
    tests = {(each.variant, each.metric): each for each in comparisons(results, attack)}
    names = marked(results, attack)
    rows: dict[str, list[str]] = {variant: [names[variant]] for variant in results.variants}
    numbers: list[tuple[Cell, ...]] = []
    for each in summaries(results, attack):
        test = tests.get((each.variant, each.metric))
        mean, low, high = each.interval.mean, each.interval.low, each.interval.high
        ends = f" [{percent(low)}, {percent(high)}]" if low is not None else ""
        stars = test.stars_seeds if test else ""
        if each.metric == METRICS[0]:
            rows[each.variant].append(f"{each.seeds} / {each.repeats}")
        rows[each.variant].append(f"{spread(mean, each.sd_seeds)}{ends} {stars}".rstrip())
        numbers.append(
            (
                each.variant, each.metric.column, each.seeds, each.repeats, mean, each.sd_seeds,
                each.sd_repeats, low, high, each.interval.method, each.interval.note, stars,
                str(each.conclusive).lower(),
            )
        )  # fmt: skip
    notes = [
        "In %: mean ± standard deviation between the means of the seeds [95 % bootstrap interval of"
        " the mean; whole seeds are resampled].",
        *star_notes(results, attack),
        *shared_notes(results, attack, intervals=True),
    ]
    return TextTable(
        caption=f"The variants before and after {attack} ({results.threat}).",
        columns=("variant", "seeds / repeats", *(metric.label for metric in METRICS)),
        rows=tuple(tuple(row) for row in rows.values()),
        notes=tuple(notes),
        numbers=Numbers(_SUMMARY_COLUMNS, tuple(numbers)),
    )


def significance_table(results: StudyResults, attack: str | None = None) -> TextTable:
    """Return every variant's test against the reference on the means of the seeds.

    For the nine defences, two more columns have their report's own test and its stars, where any
    variant has what stars need; its CSV form has that test in any case.

    >>> results = StudyResults("s", "S", {}, ("a", "b"), "a", (0,), (0.1,), ("pgd",), "Linf")
    >>> significance_table(results).rows[0][:4]
    ('b (no conclusion)', 'before the attack', '–', '0')
    """
    attack = chosen_attack(results, attack)
    names = marked(results, attack)
    found = comparisons(results, attack)
    theirs = is_nine_defences(results)
    missing = [
        f"{each.variant}, {each.metric.label}: no test, {each.seeds.note}."
        for each in found
        if each.seeds.p is None
    ]
    notes = [
        "One-sided paired t-tests on the mean of each seed: accuracies above the reference's,"
        " success of the attack below it. Differences in percentage points; p after Holm's"
        " correction over the variants of each metric; effect: the mean difference in standard"
        " deviations of the differences (Cohen's d_z with Hedges' correction).",
        *star_notes(results, attack),
        *missing,
        *shared_notes(results, attack),
    ]
    starred = theirs and any(each.starred for each in found)
    if starred:
        notes.insert(
            1,
            "The last two columns are the nine-defences report's own test with its own stars: n"
            " counts every seed and eps, though those of one seed are not independent, so that"
            " these stars come too easily.",
        )
    more = ("n of the nine-defences report's own test", "its p, its stars") if starred else ()
    return TextTable(
        caption=f"The variants against {results.reference} under {attack} ({results.threat}).",
        columns=("variant", "metric", "difference", "seeds", "p", "p (Holm)", "effect", *more),
        rows=tuple(
            _row(each, names[each.variant]) + (_their_row(each) if starred else ())
            for each in found
        ),
        notes=tuple(notes),
        numbers=Numbers(
            (*_TEST_COLUMNS, *(_THEIR_COLUMNS if theirs else ())),
            tuple(
                (
                    each.variant, each.metric.column, each.metric.alternative,
                    str(each.conclusive).lower(), *_fields(each.seeds), each.adjusted,
                    each.stars_seeds,
                    *((*_fields(each.repeats), each.stars_repeats) if theirs else ()),
                )
                for each in found
            ),
        ),
    )  # fmt: skip


def _fields(test: PairedTest) -> tuple[Cell, ...]:
    return test.n, test.mean_difference, test.t, test.p, test.effect_size, test.note


def _row(each: Comparison, name: str) -> tuple[str, ...]:
    return (
        name,
        each.metric.label,
        percent(each.seeds.mean_difference, sign=True) if each.seeds.n else MISSING,
        str(each.seeds.n),
        probability(each.seeds.p),
        f"{probability(each.adjusted)} {each.stars_seeds}".rstrip(),
        number(each.seeds.effect_size),
    )


def _their_row(each: Comparison) -> tuple[str, ...]:
    return str(each.repeats.n), f"{probability(each.repeats.p)} {each.stars_repeats}".rstrip()
