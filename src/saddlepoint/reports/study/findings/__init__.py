"""The findings of the nine-defences report, each confirmed or refuted by the numbers of a study."""

from __future__ import annotations

from saddlepoint.reports.study.findings import settings, success, training
from saddlepoint.reports.study.findings.measures import measures
from saddlepoint.reports.study.findings.study import is_nine_defences
from saddlepoint.reports.study.findings.verdict import Finding
from saddlepoint.studies.results import StudyResults

_FINDINGS = (
    success.best_tier,
    success.second_tier,
    success.the_rest,
    success.saturation,
    training.slowest,
    training.lose_a_little,
    training.ends_higher,
    training.fastest,
    success.spread_grows,
    training.raises_accuracy,
    settings.orthogonal_forms,
    settings.activations,
    settings.binary,
    settings.passes_saturate,
)

__all__ = ["Finding", "findings", "is_nine_defences"]


def findings(results: StudyResults, attack: str | None = None) -> list[Finding]:
    """Return the findings of the nine-defences report with what this study says about each.

    What a variant is comes from its recipe in the study's configuration. The tests are on the means
    of each seed; a finding holds where they show it, does not hold where they show the contrary,
    and cannot be told in between, with fewer than two seeds, and where a variant that it is about
    has less clean accuracy than the study asks for.

    Args:
        results: of the study, finished or not.
        attack: its name; None for the study's first.

    >>> config = {"variants": {"original": {"recipe": {}}}}
    >>> results = StudyResults("s", "S", config, ("original",), "original", (0,), (0.1,), ("pgd",), "Linf")
    >>> {finding.verdict for finding in findings(results)}
    {'not in this study'}
    """
    numbers = measures(results, attack)
    unknown = [variant for variant in results.variants if variant not in numbers.found]
    made = [finding(numbers) for finding in _FINDINGS]
    if not unknown:
        return made
    why = f"The configuration does not have the recipe of {', '.join(unknown)}."
    return [Finding(each.statement, "cannot be told", why) for each in made]
