"""The figure of attention under attack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from saddlepoint.lab.attention_under_attack import CHANGES, AttentionUnderAttack, mean_of
from saddlepoint.lab.panels import key, legend_above, looks, sheet, title_left

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_attention(found: AttentionUnderAttack) -> Figure:
    """Draw the divergence by layer under PGD and noise, within budgets and in patches, and the share of
    the class token's attention on the patches.

    >>> from dataclasses import replace
    >>> from saddlepoint.lab.attention_under_attack import Moved
    >>> one = Moved(1, True, 2, "PGD", 0.9, 1.5, 0.5, {"0": 0.25}, {"0": 0.125}, {"0": 0.5}, 0.125)
    >>> other = replace(one, confined=False, size=0.1)
    >>> len(draw_attention(AttentionUnderAttack((one, other))).axes)
    3
    """
    names = [*found.of(False, "PGD"), *found.of(True, "PGD")]
    named = looks(names)
    with sheet(9.6, 3.4) as figure:
        panels = figure.subplots(1, 3)
        for axes, confined in zip(panels, (False, True), strict=False):
            for change, line in zip(CHANGES, ("-", ":"), strict=True):
                for where, cases in found.of(confined, change).items():
                    _line(axes, [c.divergence for c in cases], named[where].colour, line)
            axes.set_yscale("log")
            axes.set_ylabel("divergence (bits)")
        for where, cases in found.of(True, "PGD").items():
            noise = found.of(True, "noise").get(where, [])
            colour = named[where].colour
            _line(panels[2], [c.after for c in cases], colour, "-")
            _line(panels[2], [c.after for c in noise], colour, ":")
            _line(panels[2], [c.before for c in cases], colour, "--")
        panels[2].set_ylabel("share of class attention")
        panels[2].set_ylim(bottom=0)
        for axes, title in zip(
            panels, ("within a budget", "in patches", "on the patches"), strict=True
        ):
            axes.set_xlabel("layer")
            axes.set_xticks(range(1, len(found.layers) + 1))
            title_left(axes, title)
        keys = [key(name, color=look.colour) for name, look in named.items()]
        styles = {"PGD": "-", "noise of the same budget": ":", "before": "--"}
        keys += [key(name, color="black", linestyle=style) for name, style in styles.items()]
        legend_above(figure, keys)
    return figure


def _line(axes: Axes, seeds: list[Mapping[str, float]], colour: str, style: str) -> None:
    if not seeds or not seeds[0]:
        return
    means = [mean_of(each[name] for each in seeds) for name in seeds[0]]
    axes.plot(
        range(1, len(means) + 1), means, color=colour, linestyle=style, marker=".", ms=4, lw=1
    )
