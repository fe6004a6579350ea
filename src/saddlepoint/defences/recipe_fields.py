"""A recipe changed before it is checked: parts put in by name, fields by their dotted names."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from saddlepoint.defences.build import BUDGET_FIELDS, named, options_of, transform_word
from saddlepoint.defences.objective_budget import budget_places, lent
from saddlepoint.defences.recipe import Recipe
from saddlepoint.defences.registry import OBJECTIVES
from saddlepoint.errors import InputError
from saddlepoint.plugins import parameter_types
from saddlepoint.reading.text import parse_yaml
from saddlepoint.threat import ThreatModel


@dataclass(frozen=True)
class RecipeChange:
    """What a recipe is changed by.

    Args:
        objective: in place of the recipe's, by name; it takes along what that trains for: its attack,
            or the budget.
        penalties, transforms: by name, after those of the recipe; a penalty with its weight.
        budget: text by the fields `eps` and `norm`, put where the objective has its budget.
        fields: text, understood as YAML, by the dotted name of the field; see `with_fields`. Where
            its first word is no field of a recipe but an option of the objective, it is there.

    >>> RecipeChange(transforms=("quantise",)).applied({"epochs": 3})
    {'epochs': 3, 'transforms': ['quantise']}
    >>> change = RecipeChange(objective="yopo", budget={"eps": "8/255"}, fields={"m": "3", "epochs": "5"})
    >>> change.applied({})
    {'objective': {'name': 'yopo', 'm': 3, 'eps': '8/255'}, 'epochs': 5}
    """

    objective: str | None = None
    penalties: tuple[tuple[str, float], ...] = ()
    transforms: tuple[str, ...] = ()
    budget: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)

    def applied(self, values: Any, source: str = "given") -> Any:
        """Return the changed mapping, fields last; raises as `with_fields`."""
        if not isinstance(values, dict):  # which the check of the whole refuses
            return values
        whole = dict(values)
        if self.objective is not None:
            before = whole.get("objective")
            whole["objective"] = {"name": self.objective, **lent(self.objective, before)}
        if self.penalties:
            added = [{"name": name, "weight": weight} for name, weight in self.penalties]
            whole["penalties"] = [*(whole.get("penalties") or []), *added]
        if self.transforms:
            words = (transform_word(each) for each in self.transforms)
            more = [{"name": name, **options} if options else name for name, options in words]
            whole["transforms"] = [*(whole.get("transforms") or []), *more]
        changed = {self._place(name, whole): text for name, text in self.fields.items()}
        whole = with_fields(whole, changed, source)
        places = budget_places(whole.get("objective") or "standard") if self.budget else ()
        if self.budget and not places:
            raise InputError(
                f"the recipe {source} trains on clean images, for no budget; leave --eps and --norm"
                " out, or choose a recipe with one, such as pgd-at"
            )
        found = {
            ".".join(("objective", *path, name)): text
            for path in places
            for name, text in self.budget.items()
        }
        return with_fields(whole, found, source)

    @staticmethod
    def _place(name: str, values: Mapping[str, Any]) -> str:
        """Return the dotted name that a name stands for."""
        word = name.partition(".")[0]
        if word in {each.name for each in fields(Recipe)}:
            return name
        objective, _ = named(values.get("objective") or "standard", "objective")
        info = OBJECTIVES.find(objective)
        takes = [
            *parameter_types(info.build),
            *(BUDGET_FIELDS if options_of(info, ThreatModel) else ()),
        ]
        return f"objective.{name}" if word in takes else name


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
