"""The numbers of a study as cells by seed and eps, their pairing with those of another variant, and
the cell whose images stand for a variant.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import TypeAlias

import pyarrow.compute as pc

from saddlepoint.errors import InputError, unknown
from saddlepoint.studies.results import StudyResults
from saddlepoint.threat import format_eps

Cells: TypeAlias = dict[tuple[int, float], float]
"""A number per (seed, eps)."""


def chosen_attack(results: StudyResults, attack: str | None = None) -> str:
    """Return the attack that a table is about: the one named, or the study's main one.

    Raises `InputError` for one that the study does not have.

    >>> results = StudyResults("s", "S", {}, ("original",), "original", (0,), (0.1,), ("pgd",), "Linf")
    >>> chosen_attack(results)
    'pgd'
    """
    if not results.attacks:
        raise InputError("the study has no attack; there is nothing to compare")
    if attack is None:
        return results.attacks[0]
    if attack not in results.attacks:
        raise unknown("attack", attack, results.attacks)
    return attack


def evaluation_cells(results: StudyResults, metric: str, attack: str) -> dict[str, Cells]:
    """Return a column of the evaluations by variant; numbers that are missing or NaN are left out.

    >>> results = StudyResults("s", "S", {}, ("original",), "original", (0,), (0.1,), ("pgd",), "Linf")
    >>> evaluation_cells(results, "success_rate", "pgd")
    {'original': {}}
    """
    cells: dict[str, Cells] = {variant: {} for variant in results.variants}
    rows = results.evaluations.filter(pc.equal(results.evaluations["attack"], attack))
    for row in rows.select(["variant", "seed", "eps", metric]).to_pylist():
        number = row[metric]
        if row["variant"] in cells and number is not None and math.isfinite(number):
            cells[row["variant"]][row["seed"], row["eps"]] = float(number)
    return cells


def paired(a: Cells, b: Cells) -> tuple[list[tuple[int, float]], list[float], list[float]]:
    """Return the (seed, eps) that both have, and the numbers of each there.

    >>> paired({(0, 0.1): 1.0, (1, 0.1): 2.0}, {(1, 0.1): 3.0})
    ([(1, 0.1)], [2.0], [3.0])
    """
    keys = sorted(a.keys() & b.keys())
    return keys, [a[key] for key in keys], [b[key] for key in keys]


def by_seed(cells: Cells, keys: Iterable[tuple[int, float]] | None = None) -> dict[int, float]:
    """Return the mean over eps of each seed, over all cells or over those of `keys`.

    >>> by_seed({(0, 0.1): 0.5, (0, 0.2): 0.7, (1, 0.1): 0.4})
    {0: 0.6, 1: 0.4}
    """
    groups: dict[int, list[float]] = defaultdict(list)
    for key in cells if keys is None else keys:
        groups[key[0]].append(cells[key])
    return {seed: math.fsum(numbers) / len(numbers) for seed, numbers in groups.items()}


def paired_by_seed(a: Cells, b: Cells) -> tuple[list[float], list[float]]:
    """Return the per-seed means of both over the (seed, eps) that both have, seed by seed.

    >>> paired_by_seed({(0, 0.1): 1.0, (0, 0.2): 9.0}, {(0, 0.1): 3.0, (7, 0.1): 2.0})
    ([1.0], [3.0])
    """
    keys, _, _ = paired(a, b)
    return list(by_seed(a, keys).values()), list(by_seed(b, keys).values())


def mean(cells: Cells) -> float:
    """Return the mean of all cells; NaN of none.

    >>> mean({(0, 0.1): 1.0, (0, 0.2): 2.0})
    1.5
    """
    return math.fsum(cells.values()) / len(cells) if cells else math.nan


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


def in_levels(results: StudyResults) -> bool:
    """Return whether the budgets are read in 255ths, as papers give them: Linf, and all are some.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> in_levels(toy_results()), in_levels(toy_results(budgets=(0.05, 51 / 255)))
    (False, False)
    >>> in_levels(toy_results(budgets=(4 / 255, 8 / 255)))
    True
    """
    levels = all("/" in format_eps(eps) for eps in results.budgets)
    return "linf" in results.threat.lower() and levels


def budget_text(results: StudyResults, eps: float) -> str:
    """Return a budget as the figures and tables of this study write it.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> budget_text(toy_results(budgets=(0.1, 0.2)), 0.2)
    '0.2'
    """
    return format_eps(eps) if in_levels(results) else f"{eps:.6g}"


def counted(number: int, thing: str) -> str:
    """Return a number of things, in the plural where it is not one.

    >>> counted(1, "seed"), counted(2, "seed")
    ('1 seed', '2 seeds')
    """
    return f"{number} {thing}{'s' if number != 1 else ''}"
