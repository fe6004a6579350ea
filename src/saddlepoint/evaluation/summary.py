"""From the columns of all parts to the record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from saddlepoint.describe import describe
from saddlepoint.evaluation.parts import Columns
from saddlepoint.evaluation.record import Budget, Evaluation
from saddlepoint.evaluation.statistics import Proportion
from saddlepoint.evaluation.survivors import STANDING, WRONG_BEFORE, budget_of
from saddlepoint.threat import ThreatModel


def summarise(
    columns: Columns,
    config: Any,
    threats: Sequence[ThreatModel],
    names: list[str],
    notes: tuple[str, ...],
) -> Evaluation:
    """Return the record of an evaluation from its columns.

    >>> summarise.__name__
    'summarise'
    """
    level, fooled_by = columns["images/level"], columns["images/fooled_by"]
    total = int((level == 0).sum())
    right = int((fooled_by[level == 0] != WRONG_BEFORE).sum())
    budgets = []
    for number, threat in enumerate(threats):
        here = fooled_by[level == number]
        tried = columns["attempts/level"] == number
        robust = int((here == STANDING).sum())
        hits = {
            name: int(
                (columns["attempts/success"] & tried & (columns["attempts/attack"] == i)).sum()
            )
            for i, name in enumerate(names)
        }
        runs = {
            name: int((tried & (columns["attempts/attack"] == i)).sum())
            for i, name in enumerate(names)
        }
        budgets.append(
            Budget(
                eps=budget_of(threat),
                robust_accuracy=Proportion(robust, total),
                success=Proportion(right - robust, right),
                forwards=int(columns["attempts/forwards"][tried].sum()) / total,
                backwards=int(columns["attempts/backwards"][tried].sum()) / total,
                fooled_by=hits,
                attacked=runs,
            )
        )
    eps = torch.tensor([budget_of(threat) for threat in threats], dtype=torch.float64)
    return Evaluation(
        config=describe(config),
        clean=Proportion(right, total),
        budgets=tuple(budgets),
        images=_to_table(columns, "images", eps, ["initially wrong", "", *names], 2),
        attempts=_to_table(columns, "attempts", eps, names, 0),
        seconds=float(columns["seconds"].sum()),
        notes=notes,
    )


def _to_table(columns: Columns, table: str, eps: Tensor, names: list[str], shift: int) -> pa.Table:
    """Return the columns of a table with budgets and attacks by value and name."""
    values: dict[str, Any] = {}
    for key, column in columns.items():
        prefix, _, name = key.partition("/")
        if prefix != table:
            continue
        if name == "level":
            values["eps"] = eps[column].numpy()
        elif name in ("fooled_by", "attack"):
            values[name] = pa.array([names[int(i) + shift] for i in column])
        else:
            values[name] = column.numpy()
    return pa.table(values)
