"""How the tables of a study write numbers, and the notes they share."""

from __future__ import annotations

import math

from saddlepoint.reports.study.cells import counted
from saddlepoint.reports.study.comparisons import STAR_SEEDS, comparisons, conclusive_variants
from saddlepoint.studies.results import StudyResults

MISSING = "–"
STARS = "*** p < 0.01, ** p < 0.05, * p < 0.1"
NO_CONCLUSION = " (no conclusion)"

# Below it a bootstrap interval of a mean is known to be clearly too narrow: 95 % intervals of five
# normal values hold the mean in about 85 % of cases.
_FEW_SEEDS = 10


def percent(share: float | None, sign: bool = False) -> str:
    """Return a share as a percentage with one decimal, without the sign of percent.

    >>> percent(0.1234), percent(-0.05, sign=True), percent(None)
    ('12.3', '−5.0', '–')
    """
    if share is None or math.isnan(share):
        return MISSING
    text = f"{100 * share:+.1f}" if sign else f"{100 * share:.1f}"
    return "0.0" if text.lstrip("+-") == "0.0" else text.replace("-", "−")


def spread(mean: float | None, sd: float | None) -> str:
    """Return "mean ± sd" in percent; the mean alone where there is no standard deviation.

    >>> spread(0.5, 0.01), spread(0.5, None), spread(float("nan"), None)
    ('50.0 ± 1.0', '50.0', '–')
    """
    return percent(mean) if sd is None else f"{percent(mean)} ± {percent(sd)}"


def number(value: float | None) -> str:
    """Return a number with two decimals.

    >>> number(-1.234), number(None)
    ('−1.23', '–')
    """
    if value is None or math.isnan(value):
        return MISSING
    text = f"{value:.2f}"
    return "0.00" if text == "-0.00" else text.replace("-", "−")


def marked(results: StudyResults, attack: str) -> dict[str, str]:
    """Return every variant's name as the tables write it: marked where nothing is to be concluded.

    >>> results = StudyResults("s", "S", {}, ("original",), "original", (0,), (0.1,), ("pgd",), "Linf")
    >>> marked(results, "pgd")
    {'original': 'original (no conclusion)'}
    """
    conclusive = conclusive_variants(results, attack)
    return {name: name + ("" if conclusive[name] else NO_CONCLUSION) for name in results.variants}


def star_notes(results: StudyResults, attack: str) -> list[str]:
    """Return what the stars mean, and which variants have none and why.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> star_notes(toy_results(), "pgd")
    ['No stars: they need at least 5 seeds, and this study has 3.']
    """
    tests = comparisons(results, attack)
    if not tests:
        return []
    if len(results.seeds) < STAR_SEEDS:
        seeds = len(results.seeds)
        return [f"No stars: they need at least {STAR_SEEDS} seeds, and this study has {seeds}."]
    notes = []
    if any(each.starred for each in tests):
        notes.append(
            f"Stars: better than {results.reference} in the one-sided paired t-test on the means"
            f" of the seeds, after Holm's correction: {STARS}."
        )
    few = dict.fromkeys(each.variant for each in tests if each.seeds.n < STAR_SEEDS)
    if few:
        notes.append(
            f"No stars, since fewer than {STAR_SEEDS} seeds are finished of both it and"
            f" {results.reference}: {', '.join(few)}."
        )
    return notes


def shared_notes(results: StudyResults, attack: str, intervals: bool = False) -> list[str]:
    """Return what a reader of any table must know: no conclusions, few seeds, missing cells.

    Args:
        results: of the study.
        attack: that the table is about.
        intervals: whether the table has bootstrap intervals.

    >>> results = StudyResults("s", "S", {}, ("original",), "original", (0,), (0.1,), ("pgd",), "Linf")
    >>> shared_notes(results, "pgd")[0]
    'No conclusion is drawn where the mean clean accuracy is below 0.0 % or not known: original.'
    """
    notes = []
    without = [name for name, enough in conclusive_variants(results, attack).items() if not enough]
    if without:
        least = percent(results.minimum_clean_accuracy)
        notes.append(
            f"No conclusion is drawn where the mean clean accuracy is below {least} % or not known:"
            f" {', '.join(without)}."
        )
        if results.reference in without:
            notes.append("The reference is one of these, so that no comparison says anything.")
    if results.reference not in results.variants:
        notes.append(f"The reference, {results.reference}, is not in the study: nothing is tested.")
    if intervals and len(results.seeds) < _FEW_SEEDS:
        notes.append(
            f"With {counted(len(results.seeds), 'seed')} the bootstrap intervals are narrower than they"
            " should be."
        )
    unfinished = len(results.missing) + len(results.failed) + len(results.damaged)
    if unfinished:
        notes.append(
            f"The study is not finished ({counted(unfinished, 'cell')} missing, failed or damaged): only"
            " repeats that both variants have are compared, and means over other repeats than those"
            " of the row beside it may mislead."
        )
    notes.append(
        "No cell is examined: what hides from the attacks is not seen here; `saddlepoint diagnose` looks"
        " at the model that matters."
    )
    return notes
