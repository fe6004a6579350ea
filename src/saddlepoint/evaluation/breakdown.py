"""What an evaluation found, by budget, by attack and by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int64
from numpy.typing import NDArray

from saddlepoint.answers import NO_CLASS
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
            frequent first; −1 (`NO_CLASS`) those for which the model returns no answer.

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
    right, resisted = was_right(levels[0]), [stands(level) for level in levels]
    prediction = levels[-1]["prediction"].to_numpy()
    found = []
    for number in np.unique(label).tolist():
        mine = label == number
        size = int(mine.sum())
        classes, counts = np.unique(prediction[mine & (prediction != number)], return_counts=True)
        order = np.argsort(-counts, kind="stable").tolist()
        found.append(
            ClassShare(
                number,
                names[number] if number < len(names) else str(number),
                Proportion(int((right & mine).sum()), size),
                tuple(Proportion(int((each & mine).sum()), size) for each in resisted),
                {int(classes[k]): int(counts[k]) for k in order},
            )
        )
    return tuple(found)


def was_right(images: pa.Table) -> Bool[NDArray[np.bool_], " n"]:
    """Return which images were right before any attack, in the rows of one budget.

    >>> was_right(pa.table({"fooled_by": ["fgsm", INITIALLY_WRONG, STANDS]})).tolist()
    [True, False, True]
    """
    return ~_fooled_by(images, INITIALLY_WRONG)


def stands(images: pa.Table) -> Bool[NDArray[np.bool_], " n"]:
    """Return which images are right and no attack fooled, in the rows of one budget.

    >>> stands(pa.table({"fooled_by": ["fgsm", INITIALLY_WRONG, STANDS]})).tolist()
    [False, False, True]
    """
    return _fooled_by(images, STANDS)


def _fooled_by(images: pa.Table, who: str) -> Bool[NDArray[np.bool_], " n"]:
    return np.array([each == who for each in images["fooled_by"].to_pylist()], dtype=np.bool_)


def confusion(images: pa.Table, column: str = "prediction") -> Int64[NDArray[np.int64], "k k"]:
    """Return how many images of class i (row) are taken for class j, in the rows of one budget;
    those for which the model returns no answer are taken for none, and left out.
    """
    label, prediction = images["label"].to_numpy(), images[column].to_numpy()
    size = 1 + int(max(label.max(initial=0), prediction.max(initial=0)))
    counts = np.zeros((size, size), dtype=np.int64)
    some = prediction != NO_CLASS
    np.add.at(counts, (label[some], prediction[some]), 1)
    return counts
