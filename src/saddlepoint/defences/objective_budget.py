"""Where the mapping of an objective says what budget it trains for: in its attack, beside its own
options, or in the objective inside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from saddlepoint.attacks import Attack
from saddlepoint.defences.build import BUDGET_FIELDS, named, options_of
from saddlepoint.defences.objectives import TrainingObjective
from saddlepoint.defences.registry import OBJECTIVES
from saddlepoint.threat import ThreatModel


def budget_places(objective: str | Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
    """Return the paths within the mapping of an objective at which a budget stands, or may.

    >>> budget_places("yopo"), budget_places("standard")
    (((),), ())
    >>> budget_places({"name": "awp", "objective": {"name": "adversarial-training", "attack": {}}})
    (('objective', 'attack'),)
    """
    name, options = named(objective, "objective")
    info = OBJECTIVES.find(name)
    found: list[tuple[str, ...]] = [()] if options_of(info, ThreatModel) else []
    # An attack may be an option without a default that the mapping lacks: the build says so.
    found += [(key,) for key in options_of(info, Attack) if isinstance(options.get(key), Mapping)]
    for key in options_of(info, TrainingObjective):
        if isinstance(options.get(key), str | Mapping):
            found += [(key, *path) for path in budget_places(options[key])]
    return tuple(found)


def with_budget(objective: Mapping[str, Any], budget: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mapping of an objective with the fields of a budget that it lacks.

    >>> with_budget({"name": "free", "m": 4}, {"norm": "l2", "eps": 0.5})
    {'norm': 'l2', 'eps': 0.5, 'name': 'free', 'm': 4}
    """
    whole = dict(objective)
    for path in budget_places(objective):
        whole = _filled(whole, path, budget)
    return whole


def takes_eps(objective: Mapping[str, Any]) -> bool:
    """Return whether an objective trains for a budget that its mapping leaves open.

    >>> takes_eps({"name": "free"}), takes_eps({"name": "free", "eps": 0.1}), takes_eps({"name": "standard"})
    (True, False, False)
    """
    return any("eps" not in _at(objective, path) for path in budget_places(objective))


def trains_clean(name: str) -> bool:
    """Return whether an objective, by name, is one of ours that sees the images as they are; the code
    of others is not run.

    >>> trains_clean("distillation"), trains_clean("trades"), trains_clean("mine.py:Objective")
    (True, False, False)
    """
    info = OBJECTIVES.own.get(name)
    kinds = (Attack, ThreatModel, TrainingObjective)
    return info is not None and not any(options_of(info, kind) for kind in kinds)


def lent(objective: str, before: Any) -> dict[str, Any]:
    """Return what an objective takes over from the mapping of the one before it: its attack, or
    where it has none but a budget, that of the attack.

    >>> before = {"name": "adversarial-training", "attack": {"name": "pgd", "eps": 0.1, "steps": 3}}
    >>> lent("mixed", before)
    {'attack': {'name': 'pgd', 'eps': 0.1, 'steps': 3}}
    >>> lent("yopo", before), lent("standard", before)
    ({'eps': 0.1}, {})
    """
    if not isinstance(before, Mapping):
        return {}
    info = OBJECTIVES.find(objective)
    attacks = {k: v for k, v in before.items() if k in options_of(info, Attack)}
    if attacks or not options_of(info, ThreatModel):
        return attacks
    places = [_at(before, path) for path in budget_places(before)]
    return {k: v for place in places[:1] for k, v in place.items() if k in BUDGET_FIELDS}


def _at(objective: Mapping[str, Any], path: tuple[str, ...]) -> Mapping[str, Any]:
    place: Any = objective
    for key in path:
        place = {"name": place[key]} if isinstance(place[key], str) else place[key]
    return place if isinstance(place, Mapping) else {}


def _filled(
    values: Mapping[str, Any], path: tuple[str, ...], budget: Mapping[str, Any]
) -> dict[str, Any]:
    if not path:
        return {**budget, **values}
    inner = values[path[0]]
    inner = {"name": inner} if isinstance(inner, str) else inner
    return {**values, path[0]: _filled(inner, path[1:], budget)}
