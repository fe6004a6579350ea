"""Training and validation error by epoch, of every variant."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from matplotlib.figure import Figure

from saddlepoint.errors import InputError
from saddlepoint.reports.study.comparisons import standard_deviation
from saddlepoint.reports.study.legends import legend_above, looks_of
from saddlepoint.reports.style import style
from saddlepoint.studies.results import StudyResults

_PANELS = {"accuracy": "training", "validation_accuracy": "validation"}


def has_errors(results: StudyResults) -> bool:
    """Return whether some training looked at validation images.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> has_errors(toy_results())
    False
    """
    return any(value is not None for value in results.epochs["validation_accuracy"].to_pylist())


def errors_by_epoch(results: StudyResults) -> Figure:
    """Return the share of wrong images against the epoch: of those trained on, as they were trained on,
    and of those held out; means over the seeds, bands of one standard deviation.

    Raises `InputError` where no training looked at validation images.

    >>> import pyarrow as pa
    >>> from saddlepoint.reports.study.toy import toy_results
    >>> from saddlepoint.studies.results import EPOCH_COLUMNS
    >>> rows = [("original", 0, None, epoch, 1.0, 0.5, 0.25, None, 2.0) for epoch in (1, 2)]
    >>> table = pa.table([pa.array(c) for c in zip(*rows)], names=EPOCH_COLUMNS.names)
    >>> drawn = errors_by_epoch(toy_results(epochs=table))
    >>> [axes.lines[0].get_ydata().tolist() for axes in drawn.axes]
    [[50.0, 50.0], [75.0, 75.0]]
    """
    if not has_errors(results):
        raise InputError("no training looked at validation images; give the recipe a validation")
    looks = looks_of(results)
    with style():
        figure = Figure(figsize=(6.8, 3.3))
        panels = figure.subplots(1, 2, sharey=True)
        for axes, (column, title) in zip(panels, _PANELS.items(), strict=True):
            for variant, points in _errors(results, column).items():
                epochs = np.array(sorted(points))
                mean = np.array([np.mean(points[epoch]) for epoch in epochs])
                sd = np.array([standard_deviation(points[e]) or 0.0 for e in epochs])
                look = looks[variant]
                axes.fill_between(
                    epochs, mean - sd, mean + sd, color=look.colour, alpha=0.13, linewidth=0
                )
                axes.plot(
                    epochs, mean, label=variant, markevery=max(1, len(epochs) // 6),
                    markersize=3.5, linewidth=1.1, **look.line,
                )  # fmt: skip
            axes.set_title(title, fontsize=9)
            axes.set_xlabel("epoch")
            axes.set_ylim(0, None)
        panels[0].set_ylabel("error (%)")
        figure.subplots_adjust(wspace=0.08)
        legend_above(figure, panels[0], results.title)
    return figure


def _errors(results: StudyResults, column: str) -> dict[str, dict[int, list[float]]]:
    """Return the errors in per cent by variant and epoch, of each seed the mean over eps."""
    found: dict[str, dict[int, dict[int, list[float]]]] = {}
    for row in results.epochs.select(["variant", "seed", "epoch", column]).to_pylist():
        if row[column] is not None:
            seeds = found.setdefault(row["variant"], {}).setdefault(row["epoch"], defaultdict(list))
            seeds[row["seed"]].append(100 * (1 - row[column]))
    return {
        variant: {
            epoch: [float(np.mean(each)) for each in seeds.values()]
            for epoch, seeds in found[variant].items()
        }
        for variant in results.variants
        if variant in found
    }
