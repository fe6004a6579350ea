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
_MOST = 1.5  # times the least, from where the colour stays


def draw(found: PerModel[Objectives]) -> Figure:
    """Return a panel per model and case, a row per objective and a column per treatment.

    The colour compares distances with the nearest of the panel, only where every attack succeeds:
    the mean of fewer is that of easier targets.

    Reference: Carlini and Wagner 2017, arXiv:1608.04644, table III.
    """
    results = found.results
    first = next(iter(results.values()))
    rows, columns = len(first.objectives), len(first.boxes)
    with style():
        figure = Figure(
            figsize=(3.0 + 2.2 * columns, len(results) * (0.34 * rows + 0.5) + 0.6),
            layout="constrained",
        )
        grid = figure.subplots(len(results), len(CASES), squeeze=False, sharex=True, sharey=True)
        for panels, (name, each) in zip(grid, results.items(), strict=True):
            for axes, case in zip(panels, CASES, strict=True):
                image = _cells(axes, each, case)
                lettered(axes, f"{name}, {_TITLES[case]}")
            panels[0].set_ylabel("objective")
        bar = figure.colorbar(image, ax=grid, fraction=0.03, pad=0.01, extend="max")
        bar.set_label("distance, times the least of the panel (grey: not all succeed)")
        figure.supxlabel(
            "treatment of the range. In a cell: mean L2 distance of the successes, success; below,"
            " the median of the smallest sufficient c",
            fontsize=9,
        )
    return figure


def _cells(axes: Axes, found: Objectives, case: str) -> AxesImage:
    table = [[found.case(o, b, case) for b in found.boxes] for o in found.objectives]
    whole = [cell.distance for row in table for cell in row if cell.success == 1]
    least = max(min(whole, default=1.0), 1e-12)
    ratios = np.array(
        [
            [cell.distance / least if cell.success == 1 else math.nan for cell in row]
            for row in table
        ]
    )
    axes.set_facecolor(_MISSING)
    image = axes.imshow(ratios, cmap="cividis", aspect="auto", vmin=1, vmax=_MOST)
    for i, row in enumerate(table):
        for j, cell in enumerate(row):
            success = f"{100 * cell.success:.0f} %"
            none = math.isnan(cell.distance)
            text = success if none else f"{cell.distance:.2f} · {success}\nc {_short(cell.c[1])}"
            dark = cell.success == 1 and ratios[i, j] < (1 + _MOST) / 2
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
