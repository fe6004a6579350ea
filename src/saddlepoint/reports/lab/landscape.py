"""The figure of `landscape`: climbs, the losses at their ends, and how the maxima differ."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from saddlepoint.lab import LossLandscape, PerModel
from saddlepoint.reports.lab.panels import handles_of, legend_above, lettered, looks
from saddlepoint.reports.style import style

_IMAGES = 5
_CLIMBS = 50  # lines in one panel


def draw(found: PerModel[LossLandscape]) -> Figure:
    """Return a row of climbs per model, a row of histograms, and the pairs of all images pooled.

    Reference: Madry et al. 2018, arXiv:1706.06083, figures 1 and 5 and appendix A.
    """
    results = found.results
    named = looks(results)
    shown = min(_IMAGES, min(len(each.clean) for each in results.values()))
    rows = len(results)
    with style():
        figure = Figure(
            figsize=(2.0 * max(shown, 3) + 0.4, 1.6 * (rows + 2) + 0.9), layout="constrained"
        )
        grid = figure.add_gridspec(rows + 2, 2 * shown)
        for i in range(shown):
            top = max(float(each.losses[i].max()) for each in results.values())
            for row, (name, each) in enumerate(results.items()):
                axes = figure.add_subplot(grid[row, 2 * i : 2 * i + 2])
                axes.plot(each.losses[i, :_CLIMBS].T, color=named[name].colour, lw=0.6, alpha=0.5)
                axes.set_ylim(0, 1.05 * float(each.losses[i].max()))
                if row == rows - 1:
                    axes.set_xlabel("iteration")
                if row == 0:
                    lettered(axes, f"image {i}")
                if i == 0:
                    axes.set_ylabel(f"loss\n({name})")
            axes = figure.add_subplot(grid[rows, 2 * i : 2 * i + 2])
            for name, each in results.items():
                final = each.losses[i, :, -1].numpy()
                axes.hist(
                    final,
                    bins=np.linspace(0, 1.05 * top, 41).tolist(),
                    color=named[name].colour,
                    alpha=0.75,
                )
            axes.set_yscale("log")
            axes.set_xlabel("final loss")
            if i == 0:
                axes.set_ylabel("climbs")
        for start, attribute, label in (
            (0, "distances", "L2 distance of two maxima"),
            (shown, "angles", "angle of two maxima (degrees)"),
        ):
            axes = figure.add_subplot(grid[rows + 1, start : start + shown])
            values = {
                name: getattr(each, attribute).flatten().numpy() for name, each in results.items()
            }
            random = np.concatenate(
                [getattr(each, f"start_{attribute}").flatten().numpy() for each in results.values()]
            )
            most = max(*(v.max() for v in values.values()), random.max())
            bins = np.linspace(0, 1.02 * most, 61).tolist()
            for name, value in values.items():
                axes.hist(value, bins=bins, density=True, color=named[name].colour, alpha=0.75)
            axes.hist(random, bins=bins, density=True, color="black", histtype="step", lw=1.2)
            axes.set_xlabel(label)
            axes.set_yticks([])
            if start == 0:
                axes.set_ylabel("density")
        handles = handles_of(named, markers=False)
        for handle in handles:
            handle.set(linewidth=5, linestyle="-", alpha=0.75)
        handles.append(Line2D([], [], color="black", lw=1.2, label="two random points of the ball"))
        legend_above(figure, handles)
    return figure
