"""Which images a model is right on, before and under attack, in an order that all models share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from saddlepoint.errors import InputError
from saddlepoint.evaluation.breakdown import stands, was_right
from saddlepoint.evaluation.record import Evaluation
from saddlepoint.reading import decoding, shown

Answers = Bool[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Which images a model is right on.

    Attributes:
        clean: before any attack, by the image's index.
        resisted: one per budget: right, and not fooled there or below.

    >>> Outcomes(np.array([True, True]), (np.array([True, False]),)).resisted[0].tolist()
    [True, False]
    """

    clean: Answers
    resisted: tuple[Answers, ...]


def outcomes(name: str, evaluation: Evaluation) -> Outcomes:
    """Return which images a model is right on, from the rows of its record.

    Args:
        name: of the evaluation, for errors.

    Raises `InputError` where the rows are not those that the record counts.

    >>> import pyarrow as pa
    >>> from saddlepoint.evaluation.statistics import Proportion
    >>> record = Evaluation({}, Proportion(9, 10), (), pa.table({}), pa.table({}), 1.0, ())
    >>> outcomes("runs/a", record)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: the images of runs/a are not those of its record; evaluate again
    """
    total, budgets = evaluation.clean.total, evaluation.budgets
    images = evaluation.images
    damaged = InputError(f"the images of {shown(name)} are not those of its record; evaluate again")
    if not budgets or not total or images.num_rows != total * len(budgets):
        raise damaged
    with decoding(f"images.parquet of {shown(name)}", "the images of an evaluation"):
        levels = [images.slice(level * total, total) for level in range(len(budgets))]
        found = Outcomes(was_right(levels[0]), tuple(stands(level) for level in levels))
        ids = images["id"].to_numpy().reshape(len(budgets), total)
        eps = images["eps"].to_numpy(zero_copy_only=False).reshape(len(budgets), total)
    counts = [int(each.sum()) for each in (found.clean, *found.resisted)]
    known = np.array([budget.eps for budget in budgets])[:, None]
    if (
        counts != [evaluation.clean.count, *(each.robust_accuracy.count for each in budgets)]
        or (ids != np.arange(total)).any()
        or not np.array_equal(eps, np.broadcast_to(known, eps.shape), equal_nan=True)
    ):
        raise damaged
    return found
