"""What the figures of the experiments share. Matplotlib is imported when the first is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from saddlepoint.evaluation.statistics import Proportion

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from saddlepoint.reports.style import Look


@contextmanager
def sheet(width: float, height: float) -> Iterator[Figure]:
    """Give an empty figure of that size in inches, to be drawn on in the project's style.

    >>> with sheet(4, 3) as figure:
    ...     axes = figure.subplots()
    >>> axes.xaxis.get_gridlines()[0].get_visible()
    True
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    from saddlepoint.reports.style import style, write_powers

    with style():
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        for axes in figure.axes:
            for axis in (axes.xaxis, axes.yaxis):
                own = isinstance(axis.get_major_formatter(), FuncFormatter)  # ticks with labels
                if axis.get_scale() in ("log", "symlog") and not own:
                    write_powers(axis)


def looks(names: Iterable[str]) -> dict[str, Look]:
    """Return a look for each name, no two alike up to 64, as `saddlepoint.reports.style.look_of`.

    >>> looks(["standard", "adversarial"])["adversarial"].linestyle
    '--'
    """
    from saddlepoint.reports.style import look_of

    return {name: look_of(i) for i, name in enumerate(names)}


def key(label: str, **look: Any) -> Line2D:
    """Return a line for a legend.

    >>> key("standard", color="black").get_label()
    'standard'
    """
    from matplotlib.lines import Line2D

    return Line2D([], [], label=label, **look)


def keys_of(named: dict[str, Look]) -> list[Line2D]:
    """Return the legend's lines for looks.

    >>> keys_of(looks(["standard"]))[0].get_marker()
    'o'
    """
    return [key(name, **look.line) for name, look in named.items()]


def legend_above(figure: Figure, handles: Sequence[Line2D], columns: int | None = None) -> None:
    """Put a legend above all axes of a figure with the constrained layout, which makes room.

    >>> with sheet(4, 3) as figure:
    ...     legend_above(figure, [key("standard")])
    >>> len(figure.legends)
    1
    """
    figure.legend(
        handles=handles, loc="outside upper center", ncols=columns or min(5, len(handles))
    )


def title_left(axes: Axes, title: str) -> None:
    """Give a panel a small title at its left.

    >>> with sheet(4, 3) as figure:
    ...     axes = figure.subplots()
    >>> title_left(axes, "losses")
    >>> axes.get_title(loc="left")
    'losses'
    """
    axes.set_title(title, fontsize=9, loc="left")


def plot_shares(
    axes: Axes,
    x: Sequence[float],
    shares: Sequence[Proportion],
    look: Look,
    *,
    alpha: float = 0.15,
    markersize: float = 4,
) -> None:
    """Draw shares in per cent against `x`, with their confidence intervals shaded.

    >>> with sheet(4, 3) as figure:
    ...     axes = figure.subplots()
    >>> plot_shares(axes, [1, 2], [Proportion(1, 4), Proportion(2, 4)], looks(["A"])["A"])
    >>> axes.lines[0].get_ydata().tolist()
    [25.0, 50.0]
    """
    low, high = ([100 * getattr(p, end) for p in shares] for end in ("low", "high"))
    axes.fill_between(x, low, high, color=look.colour, alpha=alpha, lw=0)
    axes.plot(x, [100 * p.value for p in shares], **look.line, markersize=markersize)
    axes.set_ylim(-2, 102)
