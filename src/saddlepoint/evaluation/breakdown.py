"""What an evaluation found, by budget, by attack and by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Int64
from numpy.typing import NDArray

from saddlepoint.evaluation.statistics import Proportion

INITIALLY_WRONG, STANDS = "initially wrong", ""
"""What `fooled_by` says of an image that no attack fooled."""


@dataclass(frozen=True)
class Budget:
    """What was found at one budget.

    Attributes:
        eps: the budget, in the units of the threat model; NaN (null in JSON) where it has none.
        robust_accuracy: the share of all images that no attack of the suite fooled at this budget
            or below it.
        success: of the images that were right before, the share that was fooled.
        forwards, backwards: passes per image of the whole set, spent at this budget; those of an
            attack that is run once for all budgets stand at the first above 0.
        fooled_by: attack → images that it was the first to fool.
        attacked: attack → images that were still standing when its turn came.

    >>> Budget(0.1, Proportion(6, 10), Proportion(3, 9), 12.0, 10.0, {"fgsm": 3}, {"fgsm": 9}).eps
    0.1
    """

    eps: float
    robust_accuracy: Proportion
    success: Proportion
    forwards: float
    backwards: float
    fooled_by: dict[str, int]
    attacked: dict[str, int]


@dataclass(frozen=True)
class AttackShare:
    """What one attack of a suite did at one budget.

    Attributes:
        eps: the budget.
        attack: its name in the suite.
        attacked: images that were still standing when its turn came.
        fooled: of them, those that it fooled.
        robust_accuracy: the share of all images that stand after it.
        forwards, backwards: its passes per image of the whole set.

    >>> AttackShare(0.1, "fgsm", 9, 3, Proportion(6, 10), 2.7, 0.9).robust_accuracy.count
    6
    """

    eps: float
    attack: str
    attacked: int
    fooled: int
    robust_accuracy: Proportion
    forwards: float
    backwards: float


@dataclass(frozen=True)
class ClassShare:
    """The accuracy of one class.

    Attributes:
        label, name: the class.
        clean: the share of its images that is right before any attack.
        robust: its robust accuracy, one per budget.
        becomes: class → how many of its images are taken for it at the largest budget, the most
            frequent first.

    >>> ClassShare(3, "cat", Proportion(9, 10), (Proportion(4, 10),), {5: 4, 2: 2}).name
    'cat'
    """

    label: int
    name: str
    clean: Proportion
    robust: tuple[Proportion, ...]
    becomes: dict[int, int]


def by_attack(
    clean: Proportion, budgets: Sequence[Budget], attempts: pa.Table
) -> tuple[AttackShare, ...]:
    """Return what each attack did at each budget, in the order in which they were run."""
    eps = attempts["eps"].to_numpy()
    attack = np.array(attempts["attack"].to_pylist(), dtype=object)
    passes = [attempts[name].to_numpy() for name in ("forwards", "backwards")]
    found, standing = [], clean.count
    first = next((budget for budget in budgets if budget.eps != 0), None)
    for budget in budgets:
        here = eps == budget.eps
        if budget is first:  # and what was run for all budgets at once, or has no eps
            here |= np.isnan(eps)
        for name, attacked in budget.attacked.items():
            standing -= budget.fooled_by[name]
            rows = here & (attack == name)
            spent = (float(each[rows].sum()) / max(clean.total, 1) for each in passes)
            after = Proportion(standing, clean.total)
            found.append(
                AttackShare(budget.eps, name, attacked, budget.fooled_by[name], after, *spent)
            )
    return tuple(found)


def per_class(
    images: pa.Table, total: int, budgets: int, names: Sequence[str]
) -> tuple[ClassShare, ...]:
    """Return the accuracy of every class that an image has, ascending.

    Args:
        images: the record's rows, `total` of each budget.
        names: of the classes; numbers where there are none.
    """
    levels = [images.slice(level * total, total) for level in range(budgets)]
    label = levels[0]["label"].to_numpy()
    fooled = [np.array(level["fooled_by"].to_pylist(), dtype=object) for level in levels]
    right = fooled[0] != INITIALLY_WRONG
    counts = confusion(levels[-1])
    found = []
    for each in np.unique(label).tolist():
        mine = label == each
        size = int(mine.sum())
        order = np.argsort(-counts[each], kind="stable").tolist()
        found.append(
            ClassShare(
                each,
                names[each] if each < len(names) else str(each),
                Proportion(int((right & mine).sum()), size),
                tuple(Proportion(int(((who == STANDS) & mine).sum()), size) for who in fooled),
                {k: int(counts[each, k]) for k in order if k != each and counts[each, k]},
            )
        )
    return tuple(found)


def confusion(images: pa.Table, column: str = "prediction") -> Int64[NDArray[np.int64], "k k"]:
    """Return how many images of class i (row) are taken for class j, in the rows of one budget."""
    label, prediction = images["label"].to_numpy(), images[column].to_numpy()
    size = 1 + int(max(label.max(initial=0), prediction.max(initial=0)))
    counts = np.zeros((size, size), dtype=np.int64)
    np.add.at(counts, (label, prediction), 1)
    return counts
