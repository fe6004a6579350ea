"""Training and validation error by epoch, of every variant."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from saddlepoint.errors import InputError
from saddlepoint.reports.study.comparisons import standard_deviation
from saddlepoint.reports.style import Look, look_of, style
from saddlepoint.studies.results import StudyResults

_STYLES = (("accuracy", "--"), ("validation_accuracy", "-"))


def has_errors(results: StudyResults) -> bool:
    """Return whether some training looked at validation images.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> has_errors(toy_results())
    False
    """
    return any(value is not None for value in results.epochs["validation_accuracy"].to_pylist())


def errors_by_epoch(results: StudyResults) -> Figure:
    """Return the share of wrong images against the epoch: of those trained on, as they were trained on,
    dashed, and of those held out; means over the seeds, bands of one standard deviation. Each line of
    the study's axis has a panel.

    He et al. 2016, arXiv:1512.03385, figures 4 and 6. Raises `InputError` where no
    training looked at validation images.

    >>> import pyarrow as pa
    >>> from saddlepoint.reports.study.toy import toy_results
    >>> from saddlepoint.studies.results import EPOCH_COLUMNS
    >>> rows = [("original", 0, None, epoch, 1.0, 0.5, 0.25, None, 2.0) for epoch in (1, 2)]
    >>> table = pa.table([pa.array(c) for c in zip(*rows)], names=EPOCH_COLUMNS.names)
    >>> drawn = errors_by_epoch(toy_results(epochs=table))
    >>> [line.get_ydata().tolist() for line in drawn.axes[0].lines[:2]]
    [[50.0, 50.0], [75.0, 75.0]]
    """
    if not has_errors(results):
        raise InputError("no training looked at validation images; give the recipe a validation")
    found = {title: _errors(results, column) for column, title in _STYLES}
    groups = _groups(results)
    columns = min(len(groups), 4)
    with style():
        figure = Figure(figsize=(max(6.8, 2.6 * columns), 3.3))
        panels = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
        for axes, (title, variants) in zip(panels, groups.items(), strict=True):
            for i, variant in enumerate(variants):
                for dashes, errors in found.items():
                    _draw(axes, errors.get(variant, {}), variant, look_of(i), dashes)
            axes.set_title(title, fontsize=9)
            axes.set_xlabel("epoch")
            axes.set_ylim(0, None)
            axes.legend(fontsize=7)
        panels[0].set_ylabel("error (%)")
        figure.subplots_adjust(wspace=0.08)
    return figure


def _groups(results: StudyResults) -> dict[str, tuple[str, ...]]:
    """Return the variants of each panel: those of a line of the axis, or all."""
    axis = results.config.get("axis")
    if axis is None:
        return {"": results.variants}
    return {name: tuple(line) for name, line in axis["lines"].items()}


def _draw(
    axes: Axes, points: Mapping[int, list[float]], variant: str, look: Look, dashes: str
) -> None:
    epochs = np.array(sorted(points))
    mean = np.array([np.mean(points[epoch]) for epoch in epochs])
    sd = np.array([standard_deviation(points[epoch]) or 0.0 for epoch in epochs])
    axes.fill_between(epochs, mean - sd, mean + sd, color=look.colour, alpha=0.13, linewidth=0)
    axes.plot(
        epochs, mean, color=look.colour, linestyle=dashes, marker=look.marker, markersize=3,
        markevery=max(1, len(epochs) // 6), linewidth=1.1,
        label=variant if dashes == "-" else None,
    )  # fmt: skip


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
