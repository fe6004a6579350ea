"""Tables as rows of text, for whoever prints them."""

from __future__ import annotations

import math
from collections.abc import Mapping

from saddlepoint.evaluation import Evaluation
from saddlepoint.threat import format_eps


def evaluation_rows(
    evaluations: Mapping[str, Evaluation],
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the columns and the rows of the main table: a row per model and budget.

    Passes per image, forward + backward, are of this budget alone; an image fooled at a smaller one
    costs nothing here.

    >>> evaluation_rows({})[0][0]
    'model'
    """
    columns = (
        "model",
        "eps",
        "clean accuracy",
        "robust accuracy",
        "attack success",
        "passes per image",
    )
    rows: list[tuple[str, ...]] = [
        (
            name,
            "–" if math.isnan(budget.eps) else format_eps(budget.eps),
            str(evaluation.clean),
            str(budget.robust_accuracy),
            str(budget.success),
            f"{budget.forwards:.1f} + {budget.backwards:.1f}",
        )
        for name, evaluation in evaluations.items()
        for budget in evaluation.budgets
    ]
    return columns, rows
