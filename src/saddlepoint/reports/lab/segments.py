"""The figure of `segments`: the loss along the lines between maxima."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from saddlepoint.lab import PerModel, Segments
from saddlepoint.reports.lab.panels import legend_above, lettered
from saddlepoint.reports.style import COLOURS, style

_IMAGES = 5
_LINES = 28


def draw(found: PerModel[Segments]) -> Figure:
    """Return a panel per model and image: every segment, their mean, and the random points' loss.

    Reference: Madry et al. 2018, arXiv:1706.06083, appendix A.
    """
    results = found.results
    shown = min(_IMAGES, min(len(each.clean) for each in results.values()))
    with style():
        figure = Figure(
            figsize=(2.0 * max(shown, 2) + 0.6, 2.0 * len(results) + 0.5), layout="constrained"
        )
        grid = figure.subplots(len(results), shown, squeeze=False)
        for row, (name, each) in enumerate(results.items()):
            for i, axes in enumerate(grid[row]):
                lines = each.along[i].numpy()
                t = np.linspace(0, 1, lines.shape[1])
                axes.plot(t, lines[:_LINES].T, color=COLOURS[0], lw=0.6, alpha=0.45)
                axes.plot(t, lines.mean(0), color=COLOURS[1], lw=2)
                axes.axhline(float(each.random[i]), color="black", ls="--", lw=1.2)
                axes.axhline(float(each.clean[i]), color="black", ls=":", lw=1.2)
                axes.set_ylim(bottom=-0.04 * float(lines.max()))
                axes.set_xticks([0, 0.5, 1])
                if row == len(results) - 1:
                    axes.set_xlabel("position")
                if row == 0:
                    lettered(axes, f"image {i}")
                if i == 0:
                    axes.set_ylabel(f"loss\n({name})")
        handles = [
            Line2D([], [], color=COLOURS[0], lw=1, label="between two maxima"),
            Line2D([], [], color=COLOURS[1], lw=2, label="mean"),
            Line2D([], [], color="black", ls="--", lw=1.2, label="random points of the ball"),
            Line2D([], [], color="black", ls=":", lw=1.2, label="clean image"),
        ]
        legend_above(figure, handles, columns=4 if shown > 2 else 2)
    return figure
