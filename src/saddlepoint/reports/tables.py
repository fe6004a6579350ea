"""Tables as rows of text, for whoever prints them."""

from __future__ import annotations

from collections.abc import Mapping

from saddlepoint.evaluation import Evaluation, Proportion
from saddlepoint.evaluation.tables import budget_table


def evaluation_rows(
    evaluations: Mapping[str, Evaluation],
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the columns and the rows of the main table: a row per model and budget.

    Passes per image, forward + backward, are of this budget alone; an image fooled at a smaller one
    costs nothing here.

    >>> evaluation_rows({})[0][0]
    'model'
    """
    tables = {name: evaluation.budget_table() for name, evaluation in evaluations.items()}
    columns = ("model", *budget_table(Proportion(0, 0), ()).columns)
    return columns, [(name, *row) for name, table in tables.items() for row in table.rows]
