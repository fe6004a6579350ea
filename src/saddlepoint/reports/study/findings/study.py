"""Whether a study is the nine defences, so that their report's findings and figures are its own."""

from __future__ import annotations

from saddlepoint.reports.study.roles import Role, recipes, role_of
from saddlepoint.studies.results import StudyResults

# Beside an undefended reference: what the findings compare. That report's other variants are
# combinations of these.
_COMPARED = {
    Role(adversarial=True),
    Role(quantised=True),
    Role(regularised=True),
    Role(adversarial=True, regularised=True),
    Role(self_ensemble=True),
}


def is_nine_defences(results: StudyResults) -> bool:
    """Return whether a study has the variants that the nine-defences report's findings are about.

    Names count for nothing, nor how much of it is finished: the recipes of its configuration say
    what each variant is. The reference must be undefended, and each of adversarial training,
    quantisation, regularisation and a random self-ensemble stand alone in some variant, and
    adversarial training with regularisation in another.

    >>> results = StudyResults("s", "S", {}, ("original",), "original", (0,), (0.1,), ("pgd",), "Linf")
    >>> is_nine_defences(results)
    False
    """
    found = {name: role_of(recipe) for name, recipe in recipes(results).items()}
    reference = found.get(results.reference)
    if reference is None or not reference.plain:
        return False
    return set(found.values()) >= _COMPARED
