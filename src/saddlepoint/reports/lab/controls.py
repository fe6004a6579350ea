"""The figure of `controls`: the error of every model under every attack."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from saddlepoint.lab import Controls, Measured
from saddlepoint.reports.lab.panels import lettered
from saddlepoint.reports.style import BEFORE, COLOURS, style

_TITLES = {
    "noise": "noise as large as the perturbation",
    "rbf": "shallow: linear and RBF",
    "ensemble": "an ensemble",
    "hidden": "adversarial training in input or hidden layer",
}


def draw(found: Controls) -> Figure:
    """Return a panel of bars per control; beside a bar stands the error, and how sure the mistakes
    are.
    """
    controls = {name: found.of(name) for name in _TITLES}
    heights = [len(rows) + 1.2 for rows in controls.values()]
    with style():
        figure = Figure(figsize=(7.2, 0.21 * sum(heights) + 0.8), layout="constrained")
        panels = figure.subplots(len(controls), 1, sharex=True, height_ratios=heights)
        for axes, (name, rows) in zip(panels, controls.items(), strict=True):
            _bars(axes, rows)
            lettered(axes, _TITLES[name])
        panels[-1].set_xlabel("error (%); in brackets the mean confidence of the mistakes")
        panels[-1].set_xticks(range(0, 101, 20))
    return figure


def _bars(axes: Axes, rows: list[Measured]) -> None:
    at = range(len(rows))
    errors = [100 * row.error for row in rows]
    axes.barh(at, errors, 0.75, color=[_colour(row.attack) for row in rows])
    for i, row in enumerate(rows):
        sure = "" if math.isnan(row.confidence) else f" ({100 * row.confidence:.0f} %)"
        axes.annotate(
            f"{100 * row.error:.1f}{sure}", (100 * row.error, i), xytext=(3, 0),
            textcoords="offset points", va="center", fontsize=7.5,
        )  # fmt: skip
    axes.set_yticks(at, [f"{row.model}: {row.attack}" for row in rows], fontsize=7.5)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_axisbelow(True)
    axes.set_xlim(0, 115)


def _colour(attack: str) -> str:
    return {"none": BEFORE, "FGSM": COLOURS[1], "PGD": COLOURS[4]}.get(
        attack.split()[0], COLOURS[2]
    )
