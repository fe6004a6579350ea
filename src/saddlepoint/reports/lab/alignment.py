"""The figure of `alignment`: perturbation and gradient against eps."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from saddlepoint.lab import Alignment, PerModel
from saddlepoint.reports.lab.panels import handles_of, legend_above, looks
from saddlepoint.reports.style import style

_PANELS = (
    ("inner", "⟨δ, gradient⟩"),
    ("cosine", "cosine of δ and gradient"),
    ("attained", "share of the largest product"),
)


def draw(found: PerModel[Alignment]) -> Figure:
    """Return three panels of medians over the images, with the middle half of the images shaded."""
    results = found.results
    named = looks(results)
    with style():
        figure = Figure(figsize=(8.4, 2.9), layout="constrained")
        for axes, (attribute, label) in zip(
            figure.subplots(1, 3, gridspec_kw={"wspace": 0.06}), _PANELS, strict=True
        ):
            for name, each in results.items():
                values = getattr(each, attribute).numpy()
                low, high = np.quantile(values, (0.25, 0.75), axis=1)
                axes.fill_between(each.eps, low, high, color=named[name].colour, alpha=0.18, lw=0)
                axes.plot(each.eps, np.median(values, axis=1), **named[name].line, markersize=4)
            axes.set_xlabel("eps (Linf, pixels)")
            axes.set_ylabel(label)
            axes.set_xlim(left=0)
            if attribute != "inner":
                axes.set_ylim(top=1.02)
            axes.axhline(0, color="black", lw=0.8)
        legend_above(figure, handles_of(named))
    return figure
