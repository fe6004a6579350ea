"""What the findings are computed from: rates and training curves by variant, seed and eps."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float64

from saddlepoint.reports.study.cells import Cells, chosen_attack, evaluation_cells, mean
from saddlepoint.reports.study.findings.verdict import FEWEST_SEEDS, Undecided, absent
from saddlepoint.reports.study.roles import Role, recipes, role_of
from saddlepoint.studies.results import StudyResults

FIRST_STEPS = 0.05  # of a training: the nine-defences report's "first few steps" of its figure 7
LAST_STEPS = 0.1  # of a training: what the end is averaged over, so that one batch does not decide
FEWEST_PIECES = 4  # of a curve that has a beginning, a middle and an end


@dataclass(frozen=True)
class Measures:
    """The numbers of a study by variant and (seed, eps).

    Attributes:
        results, attack: of which study, under which attack.
        found: the recipe of every variant, where the configuration has it.
        roles: of the variants in `found`.
        clean, robust, success: of the evaluations.
        half_way: epochs until half of the fall of the training loss, without penalties, is done.
        early: the share of that fall that is done after the first steps.
        end, end_task: the training loss at the end, with and without penalties.

    >>> results = StudyResults("s", "S", {}, ("original",), "original", (0,), (0.1,), ("pgd",), "Linf")
    >>> measures(results).success
    {'original': {}}
    """

    results: StudyResults
    attack: str
    found: dict[str, Mapping[str, Any]]
    roles: dict[str, Role]
    clean: dict[str, Cells]
    robust: dict[str, Cells]
    success: dict[str, Cells]
    half_way: dict[str, Cells] = field(default_factory=dict)
    early: dict[str, Cells] = field(default_factory=dict)
    end: dict[str, Cells] = field(default_factory=dict)
    end_task: dict[str, Cells] = field(default_factory=dict)

    @property
    def original(self) -> list[str]:
        """The reference, where it is an undefended model, as that of the nine-defences report is."""
        reference = self.results.reference
        return [reference] if self.roles.get(reference) == Role() else []

    def those(self, **wanted: bool) -> list[str]:
        """Return the variants with these roles, in the order of the study."""
        return [
            name
            for name, role in self.roles.items()
            if all(getattr(role, key) == value for key, value in wanted.items())
        ]

    def obstacle(self, variants: Iterable[str]) -> str:
        """Return why nothing can be concluded from these variants; "" where something can."""
        least = self.results.minimum_clean_accuracy
        for variant in variants:
            clean = self.clean.get(variant, {})
            seeds = len({seed for seed, _ in clean})
            if not clean:
                return f"{variant} has no finished evaluation."
            if mean(clean) < least:
                return (
                    f"The mean clean accuracy of {variant} is {100 * mean(clean):.1f} %, below the"
                    f" {100 * least:g} % that a conclusion needs."
                )
            if seeds < FEWEST_SEEDS:
                return f"{variant} has one seed alone; a spread over seeds needs two."
        return ""

    def require(self, needed: str, *groups: Sequence[str]) -> None:
        """Raise `Undecided` where a group of variants is empty, in the words of `needed`, and where
        nothing can be concluded from one of them.
        """
        if not all(groups):
            raise absent(needed)
        if why := self.obstacle(itertools.chain(*groups)):
            raise Undecided(why)


def measures(results: StudyResults, attack: str | None = None) -> Measures:
    """Return the numbers that the findings need, under one attack; None for the study's first.

    >>> config = {"variants": {"a": {"recipe": {"objective": {"name": "adversarial-training"}}}}}
    >>> results = StudyResults("s", "S", config, ("a",), "a", (0,), (0.1,), ("pgd",), "Linf")
    >>> measures(results).those(adversarial=True)
    ['a']
    """
    attack = chosen_attack(results, attack)
    found = recipes(results)
    return Measures(
        results=results,
        attack=attack,
        found=found,
        roles={name: role_of(recipe) for name, recipe in found.items()},
        clean=evaluation_cells(results, "clean_accuracy", attack),
        robust=evaluation_cells(results, "robust_accuracy", attack),
        success=evaluation_cells(results, "success_rate", attack),
        **_curve_measures(results),
    )


def _curve_measures(results: StudyResults) -> dict[str, dict[str, Cells]]:
    """Reduce every curve to numbers; one that all budgets share counts for each of them."""
    kinds = ("half_way", "early", "end", "end_task")
    cells: dict[str, dict[str, Cells]] = {
        kind: {name: {} for name in results.variants} for kind in kinds
    }
    pieces: dict[tuple[str, int, float | None], list[tuple[float, float, float]]] = defaultdict(
        list
    )
    by_name = results.curves.to_pydict()
    keys = zip(by_name["variant"], by_name["seed"], by_name["eps"], strict=True)
    values = zip(by_name["epoch"], by_name["loss"], by_name["penalty"], strict=True)
    for key, (epoch, loss, penalty) in zip(keys, values, strict=True):
        pieces[key].append((epoch, math.nan if loss is None else loss, penalty or 0.0))
    for (variant, seed, eps), curve in pieces.items():
        epoch, loss, penalty = np.array(sorted(curve)).T
        if variant not in results.variants or len(loss) < FEWEST_PIECES:
            continue
        if not (np.isfinite(loss).all() and np.isfinite(penalty).all()):
            continue  # a training that diverged has no end to compare
        task = loss - penalty
        numbers = (half_way(epoch, task), early(epoch, task), _end(loss), _end(task))
        for budget in results.budgets if eps is None else (eps,):
            for kind, number in zip(kinds, numbers, strict=True):
                cells[kind][variant][seed, budget] = number
    return cells


def half_way(epoch: Float64[np.ndarray, " n"], loss: Float64[np.ndarray, " n"]) -> float:
    """Return the epoch at which half of the fall of the loss is done; the last one of no fall.

    The fall is the model's own, from the first piece of its curve to the mean of its end, so that a
    loss that ends high is not slow for that.

    >>> half_way(np.array([1.0, 2.0, 3.0, 4.0]), np.array([3.0, 2.0, 1.0, 1.0]))
    2.0
    """
    start, end = loss[0], _end(loss)
    middle = (start + end) / 2
    below = np.flatnonzero(loss <= middle)
    if end >= start or not len(below):
        return float(epoch[-1])
    k = int(below[0])
    share = (loss[k - 1] - middle) / (loss[k - 1] - loss[k])
    return float(epoch[k - 1] + share * (epoch[k] - epoch[k - 1]))


def early(epoch: Float64[np.ndarray, " n"], loss: Float64[np.ndarray, " n"]) -> float:
    """Return the share of the fall of the loss that is done after the first steps; 0 of no fall.

    The first steps are the first twentieth of the training, and two pieces of the curve at least.

    >>> early(np.array([1.0, 2.0, 3.0, 4.0]), np.array([3.0, 2.0, 1.0, 1.0]))
    0.5
    """
    start, end = loss[0], _end(loss)
    if end >= start:
        return 0.0
    here = np.interp(max(FIRST_STEPS * epoch[-1], epoch[1]), epoch, loss)
    return float((start - here) / (start - end))


def _end(loss: Float64[np.ndarray, " n"]) -> float:
    return float(loss[-max(1, round(LAST_STEPS * len(loss))) :].mean())
