"""Accuracy against what a study varies as a number: depth, patch size, images, cost."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from saddlepoint.errors import InputError
from saddlepoint.reports.study.cells import (
    Cells,
    budget_text,
    by_seed,
    evaluation_cells,
    example_cell,
)
from saddlepoint.reports.study.comparisons import standard_deviation
from saddlepoint.reports.study.legends import legend_above
from saddlepoint.reports.style import Look, look_of, style
from saddlepoint.studies.axis import AxisSpec
from saddlepoint.studies.results import StudyResults
from saddlepoint.zoo.cost import ModelCost, network_cost

_MOST_BUDGETS = 3
Line = list[tuple[float, list[float]]]
"""Places on the axis, and the numbers of the seeds at each."""


def has_axis(results: StudyResults) -> bool:
    """Return whether the study says what its variants stand for as numbers.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> has_axis(toy_results())
    False
    """
    return results.config.get("axis") is not None


def accuracy_against_axis(results: StudyResults) -> Figure:
    """Return accuracy against the study's axis, without attack and at up to three budgets.

    A line is the mean over the seeds, its bars their standard deviation. Raises `InputError` where
    the study has no axis, or nothing is finished.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> axis = {"label": "layers", "lines": {"net": {"original": 2, "adversarial": 3}}}
    >>> drawn = accuracy_against_axis(toy_results(config={"name": "toy", "axis": axis}))
    >>> drawn.axes[0].lines[0].get_xdata().tolist()
    [2.0, 3.0]
    """
    if not has_axis(results):
        raise InputError("the study has no axis; say in its file what the variants stand for")
    axis = AxisSpec.model_validate(results.config["axis"])
    attack = results.attacks[0]
    clean = evaluation_cells(results, "clean_accuracy", attack)
    robust = evaluation_cells(results, "robust_accuracy", attack)
    places = _places(results, axis)
    panels = {
        "no attack": _lines(places, {v: by_seed(cells) for v, cells in clean.items()}),
        **{
            f"{attack}, eps {budget_text(results, eps)}": _lines(
                places, {v: _at(cells, eps) for v, cells in robust.items()}
            )
            for eps in results.budgets[-_MOST_BUDGETS:]
        },
    }
    if not any(points for line in panels.values() for points in line.values()):
        raise InputError("there are no evaluations yet; finish at least one")
    with style():
        figure = Figure(figsize=(1.2 + 2.2 * len(panels), 3.2))
        drawn = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, (title, lines) in zip(drawn, panels.items(), strict=True):
            for i, (name, points) in enumerate(lines.items()):
                _draw(axes, name, points, look_of(i))
            axes.set_title(title, fontsize=9)
            axes.set_xlabel(axis.label)
            _scale(axes, axis, [place for points in lines.values() for place, _ in points])
            axes.set_ylim(0, 1.06 * axes.get_ylim()[1])
        drawn[0].set_ylabel("accuracy (%)")
        figure.subplots_adjust(wspace=0.3)
        legend_above(figure, drawn[0], results.title)
    return figure


def _places(results: StudyResults, axis: AxisSpec) -> Mapping[str, Mapping[str, float]]:
    """Return the place of each variant as a number, by line; a cost is counted."""
    costs: dict[str, ModelCost] = {}

    def place(variant: str, value: float | str) -> float:
        if not isinstance(value, str):
            return float(value)
        if variant not in costs:
            seed, eps, attack = example_cell(results, variant)
            images = results.examples(variant, seed, eps, attack)["images"]
            try:
                costs[variant] = network_cost(results.model(variant, seed, eps), images[:1])
            except Exception as error:
                raise InputError(f"the cost of {variant} cannot be counted: {error}") from error
        return float(getattr(costs[variant], value.replace("-", "_")))

    finished = set(results.evaluations["variant"].to_pylist())
    return {
        name: {variant: place(variant, x) for variant, x in line.items() if variant in finished}
        for name, line in axis.lines.items()
    }


def _at(cells: Cells, eps: float) -> dict[int, float]:
    """Return the number of each seed at a budget."""
    return {seed: value for (seed, each), value in cells.items() if each == eps}


def _lines(
    places: Mapping[str, Mapping[str, float]], numbers: Mapping[str, Mapping[int, float]]
) -> dict[str, Line]:
    return {
        name: sorted((x, list(numbers[v].values())) for v, x in line.items() if numbers[v])
        for name, line in places.items()
    }


def _draw(axes: Axes, name: str, points: Line, look: Look) -> None:
    axes.errorbar(
        [x for x, _ in points],
        [100 * np.mean(values) for _, values in points],
        yerr=[100 * (standard_deviation(values) or 0.0) for _, values in points],
        label=name, markersize=4, linewidth=1.1, elinewidth=0.8, capsize=1.8, **look.line,
    )  # fmt: skip


def _scale(axes: Axes, axis: AxisSpec, places: list[float]) -> None:
    if axis.scale == "log":
        if min(places, default=1.0) <= 0:
            raise InputError(f"the axis {axis.label} has places that are not above 0, and is log")
        axes.set_xscale("log")
        axes.minorticks_off()
    ticks = sorted(set(places))
    if len(ticks) <= 6 and not any(_near(a, b, axis) for a, b in itertools.pairwise(ticks)):
        axes.set_xticks(ticks, [_short(each) for each in ticks])
    elif axis.scale == "log":  # a decade or less has one power of ten, which is no scale
        low, high = math.floor(math.log10(ticks[0])), math.ceil(math.log10(ticks[-1]))
        steps = (1, 2, 5) if high - low < 3 else (1,)
        round_ones = [step * 10.0**k for k in range(low, high + 1) for step in steps]
        inside = [each for each in round_ones if ticks[0] <= each <= ticks[-1]]
        axes.set_xticks(inside, [_short(each) for each in inside])


def _near(a: float, b: float, axis: AxisSpec) -> bool:
    return axis.scale == "log" and b / a < 1.5


def _short(value: float) -> str:
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            return f"{value / (1e3 if letter == 'k' else limit):.3g} {letter}"
    return f"{value:.4g}"
