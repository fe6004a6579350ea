"""What the figures of the lab share: a look per model, and several lines of one look."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from saddlepoint.reports.style import COLOURS, MARKERS, Look

_DASHES = ("-", "--", ":", "-.")


def looks(names: Iterable[str]) -> dict[str, Look]:
    """Return a look for each name: colour, marker and dashes all differ.

    >>> looks(["standard", "adversarial"])["adversarial"].linestyle
    '--'
    """
    return {
        name: Look(COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)], _DASHES[i % len(_DASHES)])
        for i, name in enumerate(names)
    }


def legend_above(figure: Figure, handles: Sequence[Line2D], columns: int | None = None) -> None:
    """Put a legend above all axes of a figure with the constrained layout, which makes room.

    >>> figure = Figure(layout="constrained")
    >>> legend_above(figure, [Line2D([], [], label="standard")])
    >>> len(figure.legends)
    1
    """
    figure.legend(
        handles=handles, loc="outside upper center", ncols=columns or min(5, len(handles))
    )


def handles_of(named: dict[str, Look], *, markers: bool = True) -> list[Line2D]:
    """Return the legend's lines for looks.

    >>> handles_of(looks(["standard"]))[0].get_label()
    'standard'
    """
    return [
        Line2D(
            [], [], **(look.line if markers else {"color": look.colour}), label=name
        )
        for name, look in named.items()
    ]  # fmt: skip


def lettered(axes: Axes, title: str) -> None:
    """Give a panel a title at its left.

    >>> axes = Figure().add_subplot()
    >>> lettered(axes, "losses")
    >>> axes.get_title(loc="left")
    'losses'
    """
    axes.set_title(title, fontsize=9, loc="left")
