"""A recipe changed before it is checked: parts put in by name, fields by their dotted names."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from saddlepoint.attacks import Attack
from saddlepoint.defences.build import options_of
from saddlepoint.defences.registry import OBJECTIVES
from saddlepoint.errors import InputError
from saddlepoint.reading.text import parse_yaml


@dataclass(frozen=True)
class RecipeChange:
    """What a recipe is changed by.

    Args:
        objective: in place of the recipe's, by name; it takes the attack of that along where it has
            one.
        penalties, transforms: by name, after those of the recipe; a penalty with its weight.
        fields: text, understood as YAML, by the dotted name of the field; see `with_fields`.

    >>> RecipeChange(transforms=("quantise",)).applied({"epochs": 3})
    {'epochs': 3, 'transforms': ['quantise']}
    """

    objective: str | None = None
    penalties: tuple[tuple[str, float], ...] = ()
    transforms: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)

    def applied(self, values: Any, source: str = "given") -> Any:
        """Return the changed mapping, fields last; raises as `with_fields`."""
        if not isinstance(values, dict):  # which the check of the whole refuses
            return values
        whole = dict(values)
        if self.objective is not None:
            whole["objective"] = {"name": self.objective, **_lent(self.objective, whole)}
        if self.penalties:
            added = [{"name": name, "weight": weight} for name, weight in self.penalties]
            whole["penalties"] = [*(whole.get("penalties") or []), *added]
        if self.transforms:
            whole["transforms"] = [*(whole.get("transforms") or []), *self.transforms]
        return with_fields(whole, self.fields, source)


def _lent(objective: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attacks of the recipe's objective that another one takes as well."""
    before = values.get("objective")
    takes = options_of(OBJECTIVES.find(objective), Attack)
    return {k: v for k, v in before.items() if k in takes} if isinstance(before, Mapping) else {}


def with_fields(values: Any, changed: Mapping[str, str], source: str = "given") -> Any:
    """Return the mapping of a recipe with some fields changed; what it holds is checked later, as if
    it had stood there in the file.

    Args:
        values: as a YAML file holds them; see `recipe_values`.
        changed: text, understood as YAML, by the dotted name of the field. An entry of a list is
            named by its number from 0; the next number adds one.
        source: the recipe's name, for errors.

    Raises `InputError` for a name that leads through what has no fields.

    >>> changed = {"optimiser.learning_rate": "0.05", "transforms.0.weight_bits": "2"}
    >>> with_fields({"epochs": 3, "transforms": ["quantise"]}, changed)["transforms"]
    [{'name': 'quantise', 'weight_bits': 2}]
    >>> with_fields({"epochs": 3}, {"epochs.most": "5"})
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: the recipe given: epochs.most: epochs is 3, which has no fields
    """
    whole: Any = copy.deepcopy(values)
    if not isinstance(whole, dict):  # which the check of the whole refuses
        return whole
    for name, text in changed.items():
        value, _ = parse_yaml(text, f"the value of {name}")
        path = name.split(".")
        place: Any = whole
        for depth, word in enumerate(path):
            key: str | int = word
            known = ".".join(path[:depth])
            if isinstance(place, list):
                key = _number(word, place, f"the recipe {source}: {name}: {known}")
            elif not isinstance(place, dict):
                raise InputError(
                    f"the recipe {source}: {name}: {known} is {place!r}, which has no fields"
                )
            if depth + 1 == len(path):
                place[key] = value
            else:
                place = _entered(place, key, path[depth + 1])
    return whole


def _number(key: str, place: list[Any], where: str) -> int:
    if not (key.isascii() and key.isdigit() and len(key) < 5 and int(key) <= len(place)):
        last = f"0 … {len(place) - 1}, and {len(place)} adds one" if place else "none; 0 adds one"
        raise InputError(f"{where} has no entry {key!r}; there are {last}")
    if int(key) == len(place):
        place.append({})
    return int(key)


def _entered(place: Any, key: Any, following: str) -> Any:
    """Return what stands at a key, made where nothing does; a name alone becomes a mapping."""
    if isinstance(place, dict) and place.get(key) is None:
        place[key] = [] if following.isdigit() else {}
    if isinstance(place[key], str):
        place[key] = {"name": place[key]}
    return place[key]
