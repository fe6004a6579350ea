"""What the figures ask of a study's results: units, groups of variants, cells with images."""

from __future__ import annotations

from typing import Any

import pyarrow.compute as pc

from saddlepoint.errors import InputError
from saddlepoint.reports.study.findings_roles import Role, recipes, role_of
from saddlepoint.studies.results import StudyResults


def in_levels(results: StudyResults) -> bool:
    """Say whether the budgets are read in 255ths, as papers give them: Linf, and all below 1.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> in_levels(toy_results())
    True
    """
    return "linf" in results.threat.lower() and max(results.budgets) < 1


def roles(results: StudyResults) -> dict[str, Role]:
    """Return what each variant is, from its recipe; where the configuration has none, from its name
    and from whether it was trained once per eps.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> roles(toy_results())["adversarial"].adversarial
    True
    """
    known = {name: role_of(recipe) for name, recipe in recipes(results).items()}
    per_eps = results.trainings.filter(pc.is_valid(results.trainings["eps"]))
    repeated = set(per_eps["variant"].to_pylist())
    return {
        name: known.get(name)
        or Role(
            adversarial=name in repeated,
            regularised="regularis" in name,
            quantised="quantis" in name,
            self_ensemble="self-ensemble" in name,
        )
        for name in results.variants
    }


def adversarial_variants(results: StudyResults) -> tuple[str, ...]:
    """Return the variants with adversarial training.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> adversarial_variants(toy_results())
    ('adversarial',)
    """
    return tuple(name for name, role in roles(results).items() if role.adversarial)


def example_cell(results: StudyResults, variant: str) -> tuple[int, float, str]:
    """Return the seed, the eps and the attack of the finished evaluation that stands for a variant:
    the main attack, the largest eps, the first seed.

    Raises `InputError` where none is finished.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> example_cell(toy_results(), "original")
    (0, 0.2, 'pgd')
    """
    cells = [
        (row["attack"], -row["eps"], row["seed"])
        for row in results.evaluations.select(["variant", "attack", "eps", "seed"]).to_pylist()
        if row["variant"] == variant and row["attack"] in results.attacks
    ]
    if not cells:
        raise InputError(f"no evaluation of '{variant}' is finished; run the study further")
    attack, eps, seed = min(cells, key=lambda c: (results.attacks.index(c[0]), c[1], c[2]))
    return seed, -eps, attack


def class_name(results: StudyResults, number: int) -> str:
    """Return the name of a class, its number where the study has no names.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> class_name(toy_results(), 1), class_name(toy_results(), 99)
    ('one', '99')
    """
    return results.classes[number] if 0 <= number < len(results.classes) else str(number)


def defence_option(results: StudyResults, name: str, key: str, default: Any) -> Any:
    """Return an option of the first transform of that name in a variant's recipe, or the default.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> recipe = {"transforms": [{"name": "quantise", "activation_bits": 2}]}
    >>> results = toy_results(config={"variants": {"original": {"recipe": recipe}}})
    >>> defence_option(results, "quantise", "activation_bits", 4)
    2
    """
    for recipe in recipes(results).values():
        for each in recipe.get("transforms") or ():
            if each.get("name") == name and each.get(key) is not None:
                return each[key]
    return default
