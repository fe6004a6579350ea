"""The tables of a study's report: the variants, and their tests against the reference."""

from __future__ import annotations

from saddlepoint.evaluation.comparison import PairedTest
from saddlepoint.reports.study.cells import chosen_attack
from saddlepoint.reports.study.comparisons import METRICS, Comparison, comparisons, summaries
from saddlepoint.reports.study.formats import Cell, Numbers, TextTable
from saddlepoint.reports.study.tables_text import (
    MISSING,
    marked,
    number,
    percent,
    probability,
    shared_notes,
    spread,
)
from saddlepoint.studies.results import StudyResults

_STARS = "*** p < 0.01, ** p < 0.05, * p < 0.1"
_SUMMARY_COLUMNS = (
    "variant", "metric", "seeds", "repeats", "mean", "sd_between_seeds", "sd_of_repeats", "low",
    "high", "method", "note", "stars_repeats", "conclusive",
)  # fmt: skip
_TEST_COLUMNS = (
    "variant", "metric", "alternative", "conclusive", "adjusted_p", "stars_repeats", "stars_seeds",
    "n_repeats", "mean_difference_repeats", "t_repeats", "p_repeats", "effect_repeats",
    "note_repeats",
    "n_seeds", "mean_difference_seeds", "t_seeds", "p_seeds", "effect_seeds", "note_seeds",
)  # fmt: skip


def variants_table(results: StudyResults, attack: str | None = None) -> TextTable:
    """Return the main table: every variant before and after the attack, and the attack's success.

    Each is the mean ± the standard deviation between the means of the seeds, with the 95 %
    bootstrap interval over seeds and the nine-defences report's stars.

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
        stars = test.stars_repeats if test else ""
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
        f"Stars as the nine-defences report printed them: {_STARS} in a one-sided paired t-test"
        f" against {results.reference} over every seed and eps. The repeats of one seed are not"
        " independent, so that these stars come too easily; the table of tests has the honest ones.",
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
    """Return every variant's tests against the reference: as printed, and on per-seed means.

    >>> results = StudyResults("s", "S", {}, ("a", "b"), "a", (0,), (0.1,), ("pgd",), "Linf")
    >>> significance_table(results).rows[0][:4]
    ('b (no conclusion)', 'before the attack', '–', '0')
    """
    attack = chosen_attack(results, attack)
    names = marked(results, attack)
    found = comparisons(results, attack)
    missing = [
        f"{each.variant}, {each.metric.label}: no honest test, {each.seeds.note}."
        for each in found
        if each.seeds.p is None
    ]
    notes = [
        "One-sided paired t-tests: accuracies above the reference's, success of the attack below"
        f" it. Differences in percentage points. Stars: {_STARS}.",
        "As printed: n counts every seed and eps, though those of one seed are not independent.",
        "Honest: on the mean of each seed; p after Holm's correction over the variants of each"
        " metric; effect: the mean difference in standard deviations of the differences (Cohen's"
        " d_z with Hedges' correction).",
        *missing,
        *shared_notes(results, attack),
    ]
    return TextTable(
        caption=f"The variants against {results.reference} under {attack} ({results.threat}).",
        columns=(
            "variant", "metric", "difference", "n", "p as printed", "seeds", "p", "p (Holm)",
            "effect",
        ),
        rows=tuple(_row(each, names[each.variant]) for each in found),
        notes=tuple(notes),
        numbers=Numbers(
            _TEST_COLUMNS,
            tuple(
                (
                    each.variant, each.metric.column, each.metric.alternative,
                    str(each.conclusive).lower(), each.adjusted, each.stars_repeats,
                    each.stars_seeds, *_fields(each.repeats), *_fields(each.seeds),
                )
                for each in found
            ),
        ),
    )  # fmt: skip


def _fields(test: PairedTest) -> tuple[Cell, ...]:
    return test.n, test.mean_difference, test.t, test.p, test.effect_size, test.note


def _row(each: Comparison, name: str) -> tuple[str, ...]:
    printed = f"{probability(each.repeats.p)} {each.stars_repeats}".rstrip()
    honest = f"{probability(each.adjusted)} {each.stars_seeds}".rstrip()
    return (
        name,
        each.metric.label,
        percent(each.seeds.mean_difference, sign=True) if each.seeds.n else MISSING,
        str(each.repeats.n),
        printed,
        str(each.seeds.n),
        probability(each.seeds.p),
        honest,
        number(each.seeds.effect_size),
    )
