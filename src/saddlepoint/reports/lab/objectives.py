"""The figure of `objectives`: distance, success and c of every objective and treatment."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from saddlepoint.lab import Objectives, PerModel
from saddlepoint.lab.objectives import CASES
from saddlepoint.reports.lab.panels import lettered
from saddlepoint.reports.style import style

_TITLES = {"best": "easiest target", "average": "all targets", "worst": "hardest target"}
_MISSING = "#DDDDDD"


def draw(found: PerModel[Objectives]) -> Figure:
    """Return a panel per model and case, a row per objective and a column per treatment.

    Reference: Carlini and Wagner 2017, arXiv:1608.04644, table III.
    """
    results = found.results
    first = next(iter(results.values()))
    rows, columns = len(first.objectives), len(first.boxes)
    with style():
        figure = Figure(
            figsize=(3.0 + 2.5 * columns, len(results) * (0.34 * rows + 0.9) + 0.3),
            layout="constrained",
        )
        grid = figure.subplots(len(results), len(CASES), squeeze=False, sharex=True, sharey=True)
        for panels, (name, each) in zip(grid, results.items(), strict=True):
            for axes, case in zip(panels, CASES, strict=True):
                image = _cells(axes, each, case)
                lettered(axes, f"{name}, {_TITLES[case]}")
                bar = figure.colorbar(image, ax=axes, fraction=0.05, pad=0.02)
                bar.ax.tick_params(labelsize=7)
            panels[0].set_ylabel("objective")
        figure.supxlabel(
            "treatment of the range. In a cell: mean L2 distance (also its colour) and success;"
            " below, the median of the smallest sufficient c",
            fontsize=9,
        )
    return figure


def _cells(axes: Axes, found: Objectives, case: str) -> AxesImage:
    table = [[found.case(o, b, case) for b in found.boxes] for o in found.objectives]
    values = np.array([[cell.distance for cell in row] for row in table])
    known = values[~np.isnan(values)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    axes.set_facecolor(_MISSING)
    image = axes.imshow(
        values, cmap="cividis", aspect="auto", vmin=low, vmax=max(high, low * 1.001 + 1e-6)
    )
    for i, row in enumerate(table):
        for j, cell in enumerate(row):
            none = math.isnan(cell.distance)
            dark = not none and cell.distance < (low + high) / 2
            success = f"{100 * cell.success:.0f} %"
            text = success if none else f"{cell.distance:.2f} · {success}\nc {_short(cell.c[1])}"
            axes.text(
                j, i, text, ha="center", va="center", fontsize=6.5, linespacing=1.15,
                color="white" if dark else "black",
            )  # fmt: skip
    axes.set_xticks(range(len(found.boxes)), found.boxes)
    axes.set_yticks(range(len(found.objectives)), found.objectives)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    return image


def _short(c: float) -> str:
    if 0.001 <= c < 1000:
        return f"{c:.2g}" if c < 100 else f"{c:.0f}"
    return f"$10^{{{math.log10(c):.1f}}}$"
