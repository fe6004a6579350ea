"""The figure of `synthetic-digits`: the nearest image of every class to a black and a white one."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from saddlepoint.lab import PerModel, Synthetic, SyntheticDigits
from saddlepoint.reports.style import COLOURS, style

_SHOWN = 10  # classes


def draw(found: PerModel[SyntheticDigits]) -> Figure:
    """Return a block per model and start: a row per norm, a column per class.

    The class that the uniform image has already is framed.

    Reference: Carlini and Wagner 2017, arXiv:1608.04644, figure 6.
    """
    blocks = [
        (model, start, found)
        for model, each in found.results.items()
        for start, found in each.starts.items()
    ]
    norms = list(blocks[0][2].images)
    classes = min(_SHOWN, len(blocks[0][2].distance[norms[0]]))
    with style():
        figure = Figure(
            figsize=(0.72 * max(classes, 4) + 0.7, len(blocks) * (0.92 * len(norms) + 0.4)),
            layout="constrained",
        )
        parts = figure.subfigures(len(blocks), 1, squeeze=False)[:, 0]
        for part, (model, start, synthetic) in zip(parts, blocks, strict=True):
            part.suptitle(
                f"{model} network, from {start} (class {synthetic.answer})", fontsize=9, x=0.02,
                ha="left",
            )  # fmt: skip
            grid = part.subplots(len(norms), classes, squeeze=False)
            for row, norm in zip(grid, norms, strict=True):
                for k, axes in enumerate(row):
                    _picture(axes, synthetic, norm, k)
                row[0].set_ylabel(norm, rotation=0, ha="right", va="center")
            for k, axes in enumerate(grid[0]):
                axes.set_title(str(k), fontsize=8)
    return figure


def _picture(axes: Axes, found: Synthetic, norm: str, k: int) -> None:
    image: Tensor = found.images[norm][k].clamp(0, 1).permute(1, 2, 0)
    if image.shape[2] == 1:
        axes.imshow(image[:, :, 0], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    else:
        axes.imshow(image, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    own = k == found.answer
    for spine in axes.spines.values():
        spine.set(visible=True, color=COLOURS[1] if own else "#888888", linewidth=2 if own else 0.6)
    distance = float(found.distance[norm][k])
    unit = " pixel" + "s" * (distance != 1) if norm == "L0" else ""
    text = "none" if math.isinf(distance) else f"{distance:.3g}{unit}"
    axes.set_xlabel(text, fontsize=7, labelpad=2)
