"""Boxes, circles and arrows on a canvas whose units are inches: what schemes are drawn with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch

GREY, BLUE, ORANGE, GREEN = "#ECECEC", "#D6E6F2", "#FBE3CF", "#D3ECE3"
_LINE = "#444444"

Point = tuple[float, float]


@dataclass(frozen=True)
class Canvas:
    """A figure of `width` × `height` inches with one axes that covers it, the origin bottom left.

    >>> canvas = Canvas.of(2.0, 1.0)
    >>> box = canvas.box((1.0, 0.5), "a box", GREY, 1.0, 0.4)
    >>> canvas.axes.texts[0].get_text()
    'a box'
    """

    figure: Figure
    axes: Axes

    @classmethod
    def of(cls, width: float, height: float) -> Canvas:
        """Return an empty canvas."""
        figure = Figure(figsize=(width, height))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set(xlim=(0, width), ylim=(0, height), aspect="equal")
        return cls(figure, axes)

    def box(
        self,
        middle: Point,
        text: str,
        colour: str,
        width: float,
        height: float,
        *,
        maths: bool = False,
    ) -> FancyBboxPatch:
        """Draw a box around its middle, with text in it, whose dollars enclose formulas or not."""
        corner = (middle[0] - width / 2, middle[1] - height / 2)
        patch = FancyBboxPatch(
            corner, width, height, boxstyle="round,pad=0,rounding_size=0.06",
            facecolor=colour, edgecolor=_LINE, linewidth=0.8,
        )  # fmt: skip
        self.axes.add_patch(patch)
        size = 8.0
        if not maths:  # a formula is shorter than its source
            longest = max((len(line) for line in text.splitlines()), default=1)
            size = min(size, 118 * width / longest)  # points; letters are 0.6 as wide as high
        self.text(
            middle, text, size=size, ha="center", va="center", linespacing=1.25, parse_math=maths
        )
        return patch

    def plus(self, middle: Point, radius: float = 0.11) -> None:
        """Draw a sum: a circle with a cross."""
        self.axes.add_patch(
            Circle(middle, radius, facecolor="white", edgecolor=_LINE, linewidth=0.9)
        )
        x, y = middle
        for xs, ys in (((x - radius, x + radius), (y, y)), ((x, x), (y - radius, y + radius))):
            self.axes.plot(xs, ys, color=_LINE, linewidth=0.9, label="_line")

    def arrow(self, start: Point, end: Point, **look: Any) -> None:
        """Draw an arrow; `look` overrides what `FancyArrowPatch` is told."""
        kind = {"color": _LINE, "linewidth": 0.9, "arrowstyle": "-|>", "mutation_scale": 8, **look}
        self.axes.add_patch(FancyArrowPatch(start, end, shrinkA=0, shrinkB=0, **kind))

    def text(self, place: Point, text: str, size: float = 8, **look: Any) -> None:
        """Write text."""
        self.axes.text(*place, text, fontsize=size, **look)
