"""Robust accuracy against the passes that it took: what each further pass was good for."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64
from matplotlib.figure import Figure
from numpy.typing import NDArray

from saddlepoint.evaluation import Evaluation
from saddlepoint.evaluation.breakdown import INITIALLY_WRONG, STANDS
from saddlepoint.reports.evaluation.choose import rows_of
from saddlepoint.reports.style import COLOURS, style, write_powers


def spent_until_fooled(record: Evaluation) -> Float64[NDArray[np.float64], " f"]:
    """Return, of each image that is fooled at the largest budget, its passes until then, both ways and
    at all budgets, ascending.

    >>> from saddlepoint.evaluation import Proportion
    >>> import pyarrow as pa
    >>> empty = Evaluation({}, Proportion(0, 0), (), pa.table({}), pa.table({}), 0.0, ())
    >>> len(spent_until_fooled(empty))
    0
    """
    if not record.budgets:
        return np.zeros(0)
    worst = rows_of(record.images, len(record.budgets) - 1, record.clean.total)
    fooled = {
        i: who
        for i, who in zip(worst["id"].to_pylist(), worst["fooled_by"].to_pylist(), strict=True)
        if who not in (STANDS, INITIALLY_WRONG)
    }
    attempts = record.attempts
    spent = attempts["forwards"].to_numpy() + attempts["backwards"].to_numpy()
    passes: dict[int, int] = dict.fromkeys(fooled, 0)
    for i, count in zip(attempts["id"].to_pylist(), spent.tolist(), strict=True):
        if i in passes:
            passes[i] += count
    return np.sort(np.array([*passes.values()], dtype=np.float64))


def passes_figure(record: Evaluation) -> Figure | None:
    """Return robust accuracy at the largest budget against passes of an image; None where nothing is
    fooled.

    >>> from saddlepoint.evaluation import Proportion
    >>> import pyarrow as pa
    >>> passes_figure(Evaluation({}, Proportion(0, 0), (), pa.table({}), pa.table({}), 0.0, ())) is None
    True
    """
    spent = spent_until_fooled(record)
    if not len(spent):
        return None
    total, right = record.clean.total, record.clean.count
    left = 100 * (right - np.arange(len(spent) + 1)) / total
    start = max(min(spent[0] / 2, 1.0), 0.5)
    end = float(
        max(_most(record), spent[-1]) * 1.1
    )  # to the passes of what was attacked to the end
    with style():
        figure = Figure(figsize=(5.2, 3.0))
        axes = figure.add_subplot(xscale="log")
        x = np.concatenate([[start], spent, [end]])
        axes.step(x, [*left, left[-1]], where="post", color=COLOURS[0])
        axes.set(xlim=(start, end), ylim=(0, 100))
        axes.set_xlabel("passes of an image, forward and backward")
        axes.set_ylabel("robust accuracy (%)")
        write_powers(axes.xaxis)
    return figure


def _most(record: Evaluation) -> float:
    """Return the most passes that any image had."""
    attempts = record.attempts
    ids = attempts["id"].to_numpy()
    spent = attempts["forwards"].to_numpy() + attempts["backwards"].to_numpy()
    return float(np.bincount(ids, weights=spent).max()) if len(ids) else 1.0
