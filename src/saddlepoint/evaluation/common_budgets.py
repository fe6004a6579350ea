"""The budgets that evaluations have in common."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from saddlepoint.errors import InputError
from saddlepoint.evaluation.tables import budget_text
from saddlepoint.reading import shown
from saddlepoint.threat import parse_eps


def level_of(eps: float, budgets: Sequence[float]) -> int | None:
    """Return the place of a budget among those of an evaluation; None where it has no such one.

    >>> level_of(8 / 255, [0.0, 0.03137254901961]), level_of(0.1, [0.2])
    (1, None)
    """
    for level, each in enumerate(budgets):
        if math.isclose(each, eps, rel_tol=1e-9) or (math.isnan(each) and math.isnan(eps)):
            return level
    return None


def listed(budgets: Sequence[float]) -> str:
    """Return budgets as people write them.

    >>> listed([8 / 255, 0.5])
    '8/255, 0.5'
    """
    return ", ".join(map(budget_text, budgets)) or "none"


def common_budgets(
    budgets: Mapping[str, Sequence[float]], wanted: Sequence[float | str] | None = None
) -> dict[float, dict[str, int]]:
    """Return the budgets that all evaluations have, ascending, and the place that each has in each.

    Args:
        budgets: of each evaluation, ascending.
        wanted: those that are asked for; None is all of them. 0 is the clean accuracy where nobody
            was attacked at it.

    Raises `InputError` where there is none, or where one that is wanted is missing somewhere.

    >>> common_budgets({"a": [0.1, 0.2, 0.5], "b": [0.2, 0.5]})
    {0.2: {'a': 1, 'b': 0}, 0.5: {'a': 2, 'b': 1}}
    >>> common_budgets({"a": [0.1, 0.3], "b": [0.3]}, ["0.1"])
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: b was not evaluated at 0.1; it has 0.3
    """
    if wanted is not None and not wanted:
        raise InputError("eps is empty; give at least one budget, or leave it out for all")
    chosen = next(iter(budgets.values())) if wanted is None else {parse_eps(e) for e in wanted}
    found: dict[float, dict[str, int]] = {}
    for eps in sorted(chosen):
        levels = {name: level_of(eps, each) for name, each in budgets.items()}
        there = {name: level for name, level in levels.items() if level is not None}
        if len(there) == len(budgets):
            found[eps] = there
        elif wanted is not None and eps:
            name = next(name for name in budgets if name not in there)
            raise InputError(
                f"{shown(name)} was not evaluated at {budget_text(eps)}; it has"
                f" {listed(budgets[name])}"
            )
    if wanted is None and not found:
        has = "; ".join(f"{shown(name)} has {listed(each)}" for name, each in budgets.items())
        raise InputError(f"no budget is common to all: {has}")
    return found
