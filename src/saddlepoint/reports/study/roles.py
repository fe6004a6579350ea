"""What each variant of a study is, read from its recipe, and which differ in one setting alone."""

from __future__ import annotations

import copy
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from saddlepoint.defences.objective_budget import trains_clean
from saddlepoint.studies.results import StudyResults

RSE = "random-self-ensemble"


@dataclass(frozen=True)
class Role:
    """What a recipe does to a model beside training it.

    Attributes:
        adversarial: it trains on other images than the clean ones.
        regularised: it has a penalty of positive weight.
        quantised, self_ensemble: it has that transform.

    >>> Role(adversarial=True).plain, Role().plain
    (False, True)
    """

    adversarial: bool = False
    regularised: bool = False
    quantised: bool = False
    self_ensemble: bool = False

    @property
    def plain(self) -> bool:
        """Whether it is undefended."""
        return self == Role()


def role_of(recipe: Mapping[str, Any]) -> Role:
    """Return the role of a recipe with its defaults resolved.

    >>> role_of({"objective": {"name": "standard"}, "transforms": [{"name": "quantise"}]})
    Role(adversarial=False, regularised=False, quantised=True, self_ensemble=False)
    """
    transforms = {each.get("name") for each in recipe.get("transforms") or ()}
    return Role(
        adversarial=not trains_clean((recipe.get("objective") or {}).get("name", "standard")),
        regularised=any(each.get("weight", 1) for each in recipe.get("penalties") or ()),
        quantised="quantise" in transforms,
        self_ensemble=RSE in transforms,
    )


def recipes(results: StudyResults) -> dict[str, Mapping[str, Any]]:
    """Return the recipe of every variant that the configuration describes.

    >>> config = {"variants": {"a": {"recipe": {"epochs": 3}}}}
    >>> results = StudyResults("s", "S", config, ("a",), "a", (0,), (0.1,), ("pgd",), "Linf")
    >>> recipes(results)
    {'a': {'epochs': 3}}
    """
    variants = results.config.get("variants")
    found: dict[str, Mapping[str, Any]] = {}
    for name in results.variants:
        entry = variants.get(name) if isinstance(variants, Mapping) else None
        recipe = entry.get("recipe") if isinstance(entry, Mapping) else None
        if isinstance(recipe, Mapping):
            found[name] = recipe
    return found


def without_penalties(found: Mapping[str, Mapping[str, Any]], variant: str) -> str | None:
    """Return the variant with the same recipe but no penalty; None where there is none.

    >>> found = {"a": {"epochs": 3, "penalties": []}, "b": {"epochs": 3, "penalties": [{"name": "x"}]}}
    >>> without_penalties(found, "b")
    'a'
    """
    wanted = {**found[variant], "penalties": []}
    for name, recipe in found.items():
        if (
            name != variant
            and {**recipe, "penalties": list(recipe.get("penalties") or ())} == wanted
        ):
            return name
    return None


def differ_only_in(
    found: Mapping[str, Mapping[str, Any]], part: str, name: str, option: str
) -> list[dict[Any, str]]:
    """Return the groups of variants whose recipes are the same but for one option of one part.

    Args:
        found: recipes by variant.
        part: "transforms" or "penalties".
        name: of the transform or penalty.
        option: of it.

    >>> def quantised(activation):
    ...     return {"transforms": [{"name": "quantise", "activation": activation}]}
    >>> found = {"a": quantised("dtrelu"), "b": quantised("naive"), "c": {"transforms": []}}
    >>> differ_only_in(found, "transforms", "quantise", "activation")
    [{'dtrelu': 'a', 'naive': 'b'}]
    """
    groups: dict[str, dict[Any, str]] = defaultdict(dict)
    for variant, recipe in found.items():
        rest = copy.deepcopy(dict(recipe))
        having = [each for each in rest.get(part) or () if each.get("name") == name]
        if len(having) == 1 and option in having[0]:
            value = having[0].pop(option)
            groups[json.dumps(rest, sort_keys=True, default=str)].setdefault(value, variant)
    return [group for group in groups.values() if len(group) > 1]


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
