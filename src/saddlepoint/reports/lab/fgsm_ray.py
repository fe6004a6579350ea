"""The figure of `fgsm-ray`: the logits on both sides of an image."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from saddlepoint.lab import FgsmRay, PerModel
from saddlepoint.reports.lab.panels import lettered
from saddlepoint.reports.style import style

_IMAGES = 3
# Ten classes apart for colour-blind readers; more begin again, dashed.
_HUES = (
    "#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00",
    "#56B4E9", "#7A4B1F", "#8C8C8C", "#332288",
)  # fmt: skip
_NAMED = 20  # classes in the legend


def draw(found: PerModel[FgsmRay]) -> Figure:
    """Return a panel per image and model: a line per class, and below them the largest one.

    Reference: Goodfellow, Shlens and Szegedy 2015, arXiv:1412.6572, figure 4.
    """
    results = found.results
    shown = min(_IMAGES, min(len(each.labels) for each in results.values()))
    classes = next(iter(results.values())).logits.shape[2]
    with style():
        figure = Figure(
            figsize=(max(3.4 * len(results), 5.0) + 0.8, 2.2 * shown + 0.4), layout="constrained"
        )
        grid = figure.subplots(shown, len(results), squeeze=False)
        for i, row in enumerate(grid):
            for axes, (name, each) in zip(row, results.items(), strict=True):
                _ray(axes, each, i)
                lettered(axes, f"{name}, image {i} (class {int(each.labels[i])})")
                if axes is row[0]:
                    axes.set_ylabel("logit")
                if i == shown - 1:
                    axes.set_xlabel("t: steps of t·sign(gradient), pixels")
        handles = [
            Line2D([], [], **_line(k), label=f"class {k}") for k in range(min(classes, _NAMED))
        ]
        title = "thick: the label\nstrip: the largest"
        figure.legend(handles=handles, title=title, loc="outside right upper")
    return figure


def _ray(axes: Axes, ray: FgsmRay, i: int) -> None:
    t, logits = ray.t.numpy(), ray.logits[i].numpy()
    for k in range(logits.shape[1]):
        axes.plot(t, logits[:, k], **_line(k), lw=2.2 if k == int(ray.labels[i]) else 1)
    low, high = float(logits.min()), float(logits.max())
    strip = low - 0.14 * (high - low)
    largest = ray.predictions[i].numpy()
    edges = np.flatnonzero(np.diff(largest)) + 1
    bounds = [0, *edges.tolist(), len(t) - 1]
    for begin, end in itertools.pairwise(bounds):
        axes.fill_between(
            t[[begin, end]], strip, strip + 0.07 * (high - low),
            color=_HUES[int(largest[begin]) % len(_HUES)], lw=0,
        )  # fmt: skip
    axes.axvline(0, color="black", lw=0.8, ls=":")
    axes.set_xlim(float(t[0]), float(t[-1]))


def _line(k: int) -> dict[str, Any]:
    return {"color": _HUES[k % len(_HUES)], "linestyle": "-" if k < len(_HUES) else "--"}
