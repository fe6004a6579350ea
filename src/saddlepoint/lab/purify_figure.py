"""The figure of the experiment on purification."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saddlepoint.lab.panels import keys_of, legend_above, looks, sheet
from saddlepoint.lab.purify import Purify

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_purify(found: Purify) -> Figure:
    """Draw the accuracy that each attack leaves, a line of points per defence.

    >>> from saddlepoint.lab.purify import Broken
    >>> rows = tuple(Broken("undefended", name, 3, 4, 1, 0.0) for name in ("none", "PGD"))
    >>> len(draw_purify(Purify(rows)).axes)
    1
    """
    attacks = list(dict.fromkeys(row.attack for row in found.rows))
    named = looks(dict.fromkeys(row.defence for row in found.rows))
    with sheet(6.4, 3.2) as figure:
        axes = figure.subplots()
        for i, (name, look) in enumerate(named.items()):
            rows = [row for row in found.rows if row.defence == name]
            # Side by side: points of one height would hide each other.
            places = [attacks.index(row.attack) + 0.12 * (i - (len(named) - 1) / 2) for row in rows]
            line = {**look.line, "linestyle": "none", "markersize": 5}
            axes.plot(places, [100 * row.accuracy for row in rows], **line)
        axes.set_xticks(range(len(attacks)), attacks)
        axes.set_ylim(-4, 104)
        axes.set_ylabel("accuracy (%)")
        legend_above(figure, keys_of(named))
    return figure
