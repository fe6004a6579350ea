"""The figure of `synthetic-digits`: the nearest image of every class to a black and a white one."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from saddlepoint.lab import PerModel, Synthetic, SyntheticDigits
from saddlepoint.reports.style import COLOURS, style

_SHOWN = 10  # classes
_RIGHT, _DOWN = 1.12, 1.36  # from picture to picture, in their own width


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
    with style():
        classes = min(_SHOWN, len(next(iter(blocks[0][2].distance.values()))))
        width = 0.72 * max(classes, 4) + 0.7
        figure = Figure(figsize=(width, 2.9 * len(blocks)), layout="constrained")
        for axes, block in zip(
            figure.subplots(len(blocks), 1, squeeze=False)[:, 0], blocks, strict=True
        ):
            _block(axes, *block, classes)
    return figure


def _block(axes: Axes, model: str, start: str, found: Synthetic, classes: int) -> None:
    for row, (norm, images) in enumerate(found.images.items()):
        axes.text(-0.12, row * _DOWN + 0.5, norm, ha="right", va="center", fontsize=9)
        for k in range(classes):
            _picture(axes, images[k], (k * _RIGHT, row * _DOWN), own=k == found.answer)
            axes.text(
                k * _RIGHT + 0.5, row * _DOWN + 1.04, _distance(found, norm, k), ha="center",
                va="top", fontsize=7,
            )  # fmt: skip
    for k in range(classes):
        axes.text(k * _RIGHT + 0.5, -0.05, str(k), ha="center", va="bottom", fontsize=8)
    title = f"{model} network, from {start} (class {found.answer})"
    axes.text(0, -0.34, title, ha="left", va="bottom", fontsize=9)
    rows = len(found.images)
    axes.set(xlim=(-0.5, classes * _RIGHT), ylim=(rows * _DOWN, -0.6), aspect="equal")
    axes.set_axis_off()


def _picture(axes: Axes, image: Tensor, corner: tuple[float, float], *, own: bool) -> None:
    array = image.clamp(0, 1).permute(1, 2, 0).numpy()
    x, y = corner
    axes.imshow(
        array, extent=(x, x + 1, y + 1, y), cmap="gray", vmin=0, vmax=1, interpolation="nearest"
    )
    colour, width = (COLOURS[1], 2.0) if own else ("#888888", 0.6)
    axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=colour, linewidth=width))


def _distance(found: Synthetic, norm: str, k: int) -> str:
    distance = float(found.distance[norm][k])
    unit = " pixel" + "s" * (distance != 1) if norm == "L0" else ""
    return "none" if math.isinf(distance) else f"{distance:.3g}{unit}"
