"""From the columns of all parts to the record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from saddlepoint.configuration import configuration
from saddlepoint.evaluation.breakdown import INITIALLY_WRONG, STANDS, Budget
from saddlepoint.evaluation.journal import Columns
from saddlepoint.evaluation.once import ONCE
from saddlepoint.evaluation.part import STANDING, WRONG_BEFORE
from saddlepoint.evaluation.record import Evaluation
from saddlepoint.evaluation.statistics import Proportion
from saddlepoint.evaluation.turns import budget_of
from saddlepoint.threat import ThreatModel

# Every column in its place: what comes back from a part has lost its order.
_IMAGES = tuple(
    f"images/{name}"
    for name in (
        "id", "level", "label", "clean_prediction", "clean_tied", "fooled_by", "fooled_at", "distance",
        "prediction", "tied",
    )
)  # fmt: skip
_ATTEMPTS = tuple(
    f"attempts/{name}"
    for name in (
        "id", "level", "attack", "success", "distance", "prediction", "rejected", "tied",
        "forwards", "backwards",
    )
)  # fmt: skip


def summarise(
    columns: Columns,
    config: Any,
    threats: Sequence[ThreatModel],
    names: list[str],
    notes: tuple[str, ...],
    classes: Sequence[str] = (),
) -> Evaluation:
    """Return the record of an evaluation from its columns, with `notes` alone."""
    columns = _sorted(_sorted(columns, _IMAGES), _ATTEMPTS)
    level, fooled_by = columns["images/level"], columns["images/fooled_by"]
    total = int((level == 0).sum())
    right = int((fooled_by[level == 0] != WRONG_BEFORE).sum())
    attempts = {name: columns[f"attempts/{name}"] for name in ("level", "attack")}
    once = [
        bool(((attempts["level"] == ONCE) & (attempts["attack"] == i)).any())
        for i in range(len(names))
    ]
    first = next((i for i, threat in enumerate(threats) if budget_of(threat) != 0), len(threats))
    budgets, before = [], fooled_by[level == 0].clamp(max=STANDING)
    for number, threat in enumerate(threats):
        here = fooled_by[level == number]
        robust = int((here == STANDING).sum())
        new = here[before == STANDING]
        hits = {name: int((new == i).sum()) for i, name in enumerate(names)}
        turns = [len(new) - sum([*hits.values()][:i]) for i in range(len(names))]
        tried = attempts["level"] == number
        runs = {
            name: turns[i]
            if once[i] and number >= first
            else int((tried & (attempts["attack"] == i)).sum())
            for i, name in enumerate(names)
        }
        if number == first:  # what is run for all budgets counts at the first
            tried |= attempts["level"] == ONCE
        before = here
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
    # The last one is that of level ONCE, -1: none.
    eps = torch.tensor([*map(budget_of, threats), torch.nan], dtype=torch.float64)
    return Evaluation(
        config=configuration(config),
        clean=Proportion(right, total),
        budgets=tuple(budgets),
        images=_to_table(columns, _IMAGES, eps, [INITIALLY_WRONG, STANDS, *names], 2),
        attempts=_to_table(columns, _ATTEMPTS, eps, names, 0),
        seconds=float(columns["seconds"].sum()),
        notes=notes,
        classes=tuple(classes) if any(c != str(i) for i, c in enumerate(classes)) else (),
    )


def _sorted(columns: Columns, names: Sequence[str]) -> Columns:
    """Return the columns with the rows of one table by budget, attack and image.

    How the work was cut into parts must not show in the files.
    """
    keys = [columns[name].numpy() for name in names if name.endswith(("/level", "/attack"))]
    identity = columns[names[0]].numpy()
    order = torch.from_numpy(np.lexsort((identity, *reversed(keys))))
    return {**columns, **{name: columns[name][order] for name in names}}


def _to_table(
    columns: Columns, keys: Sequence[str], eps: Tensor, names: list[str], shift: int
) -> pa.Table:
    """Return the columns of a table with budgets and attacks by value and name; NaN is null."""
    values: dict[str, Any] = {}
    for key in keys:
        column, name = columns[key], key.partition("/")[2]
        if name == "level":
            values["eps"] = pa.array(eps[column].numpy(), from_pandas=True)
        elif name in ("fooled_by", "attack"):
            values[name] = pa.array([names[int(i) + shift] for i in column], pa.string())
        else:
            values[name] = pa.array(column.numpy(), from_pandas=True)
    return pa.table(values)
