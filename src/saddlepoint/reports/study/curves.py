"""Accuracy and the success of the attack against the budget, a line per variant."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from saddlepoint.errors import InputError
from saddlepoint.reports.study.cells import by_seed, evaluation_cells, in_levels
from saddlepoint.reports.study.comparisons import standard_deviation
from saddlepoint.reports.study.legends import legend_above, looks_of
from saddlepoint.reports.style import Look, style
from saddlepoint.studies.results import StudyResults

Points: TypeAlias = Mapping[float, list[float]]
"""The numbers of the seeds at each budget; 0 is no attack."""

_WIDTH = 6.8


def accuracy_curves(results: StudyResults) -> Figure:
    """Return accuracy against eps, a line per variant, a panel per attack; eps 0 is clean accuracy.

    The line is the mean over the seeds, the error bars their standard deviation. At eps 0 a variant
    that was trained once per eps has, of each seed, the mean of its networks. Raises `InputError`
    where no evaluation is finished.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> float(accuracy_curves(toy_results()).axes[0].lines[0].get_ydata()[0])  # clean, in %
    100.0
    """
    found = {
        attack: {
            variant: {0.0: clean, **robust}
            for (variant, robust), clean in zip(
                _by_budget(results, "robust_accuracy", attack).items(),
                _clean(results, attack),
                strict=True,
            )
            if robust
        }
        for attack in results.attacks
    }
    return _panels(results, found, "accuracy (%)", (0, 102))


def success_curves(results: StudyResults) -> Figure:
    """Return the success rate of the attack against eps, a line per variant, a panel per attack.

    The line is the mean over the seeds, the error bars their standard deviation. The points of one
    eps stand side by side, so that nine variants can be told apart. Raises `InputError` where no
    evaluation is finished.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> success_curves(toy_results()).axes[0].get_ylabel()
    'attack success (%)'
    """
    found = {attack: _by_budget(results, "success_rate", attack) for attack in results.attacks}
    return _panels(results, found, "attack success (%)", (0, None))


def _panels(
    results: StudyResults,
    found: Mapping[str, Mapping[str, Points]],
    label: str,
    limits: tuple[float, float | None],
) -> Figure:
    attacks = [attack for attack, variants in found.items() if any(variants.values())]
    if not attacks:
        raise InputError("there are no evaluations yet; finish at least one")
    unit, scale = (255, ", in 255ths") if in_levels(results) else (1, "")
    looks = looks_of(results)
    drawn = {eps for attack in attacks for points in found[attack].values() for eps in points}
    ticks = [eps * unit for eps in sorted({*results.budgets, *drawn})]
    step = min((b - a for a, b in itertools.pairwise(ticks)), default=ticks[0])
    columns = min(2, len(attacks))
    rows = math.ceil(len(attacks) / columns)
    with style():
        figure = Figure(figsize=(_WIDTH if columns > 1 else 5.6, 3.6 * rows))
        panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
        for spare in panels[len(attacks) :]:
            spare.set_axis_off()
        for axes, attack in zip(panels[: len(attacks)], attacks, strict=True):
            for i, (variant, look) in enumerate(looks.items()):
                points = found[attack].get(variant)
                if points:
                    # Side by side, within a quarter of a step.
                    offset = (i - (len(looks) - 1) / 2) * 0.25 * step / len(looks)
                    _error_line(axes, points, unit, offset, look, variant)
            axes.set_xticks(ticks, [f"{each:.4g}" for each in ticks])
            axes.set_xlim(ticks[0] - 0.5 * step, ticks[-1] + 0.5 * step)
            axes.set_ylim(*limits)
            axes.set_xlabel(f"eps ({results.threat}{scale})")
            axes.set_title(attack, fontsize=9)
        for axes in panels[::columns]:
            axes.set_ylabel(label)
        figure.subplots_adjust(hspace=0.35, wspace=0.08)
        legend_above(figure, panels[0], results.title)
    return figure


def _error_line(
    axes: Axes, points: Points, unit: float, offset: float, look: Look, name: str
) -> None:
    series = sorted(points.items())
    axes.errorbar(
        [eps * unit + offset for eps, _ in series],
        [100 * np.mean(values) for _, values in series],
        yerr=[100 * (standard_deviation(values) or 0.0) for _, values in series],
        label=name, markersize=4, linewidth=1.1, elinewidth=0.8, capsize=1.8, **look.line,
    )  # fmt: skip


def _by_budget(results: StudyResults, metric: str, attack: str) -> dict[str, Points]:
    found: dict[str, Points] = {}
    for variant, cells in evaluation_cells(results, metric, attack).items():
        points: dict[float, list[float]] = defaultdict(list)
        for (_, eps), value in sorted(cells.items()):
            points[eps].append(value)
        found[variant] = points
    return found


def _clean(results: StudyResults, attack: str) -> list[list[float]]:
    """The clean accuracies of the seeds of each variant, each the mean over eps."""
    cells = evaluation_cells(results, "clean_accuracy", attack)
    return [list(by_seed(each).values()) for each in cells.values()]
