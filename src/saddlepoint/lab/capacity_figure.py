"""The figure of the experiment on capacity."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from saddlepoint.lab.capacity_found import Capacity, Member
from saddlepoint.lab.panels import key, legend_above, looks, sheet, title_left
from saddlepoint.lab.spread import Spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from saddlepoint.reports.style import Look

_MEASURES: Mapping[str, Callable[[Member], float]] = {
    "standard": lambda member: member.measured.clean,
    "FGSM": lambda member: member.measured.fgsm,
    "PGD": lambda member: member.measured.pgd,
}


def draw_capacity(found: Capacity) -> Figure:
    """Draw against the width: accuracies under three trainings, losses, label leaking, and how alike
    the seeds are; and the loss of PGD training against the epoch.

    A line is the mean over the seeds, its bars their standard deviation, and a cross a network that
    learnt nothing.

    Reference: Madry et al. 2018, arXiv:1706.06083, figure 4.

    >>> from saddlepoint.lab.capacity_found import Measured
    >>> seen = Measured(0.9, 0.8, 0.7, 0.1)
    >>> names = ("standard", "FGSM", "PGD", "FGSM, eps 0.1")
    >>> members = [Member(name, 1, 1, 0.3, (2.3, 1.2), seen) for name in names]
    >>> len(draw_capacity(Capacity(0.1, tuple(members), ())).axes)
    8
    """
    named = looks(found.trainings)
    with sheet(10.4, 5.0) as figure:
        panels = figure.subplots(2, 4)
        for axes, training in zip(panels[0], _MEASURES, strict=False):
            _draw_accuracies(axes, found, training, named)
        _draw_final_losses(panels[0, 3], found, named)
        _draw_descent(panels[1, 0], found)
        _draw_leaking(panels[1, 1], found, named)
        _draw_pairs(panels[1, 2], found, named, lambda pair: pair.cosine)
        panels[1, 2].set_ylabel("mean cosine of gradients")
        title_left(panels[1, 2], "two seeds: gradients")
        _draw_pairs(panels[1, 3], found, named, lambda pair: 100 * pair.accuracy)
        panels[1, 3].set_ylabel("accuracy (%)")
        panels[1, 3].set_ylim(-3, 103)
        title_left(panels[1, 3], "two seeds: FGSM transferred")
        for axes in panels.flat:
            if axes is not panels[1, 0]:
                _scale_axis(axes, found.scales)
        handles = [key(label, **named[name].line) for name, label in _labels(found).items()]
        cross = key("learnt nothing", color="black", marker="x", linestyle="")
        legend_above(figure, [*handles, cross])
    return figure


def _labels(found: Capacity) -> dict[str, str]:
    words = {"standard": "clean images, standard training", "FGSM": "FGSM", "PGD": "PGD"}
    return {name: words.get(name, name) for name in found.trainings}


def _places(scales: Sequence[int]) -> list[float]:
    """Return where the widths stand: doublings are equally far."""
    return [math.log2(scale) for scale in scales]


def _scale_axis(axes: Axes, scales: Sequence[int]) -> None:
    places = _places(scales)
    axes.set_xticks(places, [f"×{scale}" for scale in scales])
    axes.set_xlim(places[0] - 0.3, places[-1] + 0.3)
    axes.set_xlabel("width")


def _line(
    axes: Axes, scales: Sequence[int], values: Sequence[Sequence[float]], look: Look, label: str
) -> None:
    """Draw the means of the values of each width, with their standard deviations as bars."""
    means, spread = zip(*(Spread.of(each) for each in values), strict=True)
    bars = [0.0 if sd != sd else sd for sd in spread]
    axes.errorbar(
        _places(scales), means, bars, **look.line,
        markersize=4, capsize=2, elinewidth=0.8, label=label,
    )  # fmt: skip


def _draw_accuracies(axes: Axes, found: Capacity, training: str, named: Mapping[str, Look]) -> None:
    groups = [found.of(training, scale) for scale in found.scales]
    for name, measure in _MEASURES.items():
        values = [[100 * measure(member) for member in group] for group in groups]
        _line(axes, found.scales, values, named[name], name)
    lost = [member for group in groups for member in group if found.stuck(member)]
    axes.plot(
        _places([m.scale for m in lost]), [100 * m.measured.clean for m in lost],
        color="black", marker="x", linestyle="", zorder=4, label="learnt nothing",
    )  # fmt: skip
    axes.set_ylim(-3, 103)
    axes.set_ylabel("accuracy (%)")
    title_left(axes, f"{training} training")


def _draw_final_losses(axes: Axes, found: Capacity, named: Mapping[str, Look]) -> None:
    for training in found.trainings:
        values = [[m.losses[-1] for m in found.of(training, scale)] for scale in found.scales]
        _line(axes, found.scales, values, named[training], training)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("training loss, last epoch")
    title_left(axes, "loss on what is trained on")


def _draw_descent(axes: Axes, found: Capacity) -> None:
    """Draw the loss of PGD training, a line per width, over those seeds that learnt."""
    from saddlepoint.reports.style import DASHES, MARKERS

    shades = [i / max(len(found.scales) - 1, 1) for i in range(len(found.scales))]
    for i, (scale, shade) in enumerate(zip(found.scales, shades, strict=True)):
        learnt = [each for each in found.of("PGD", scale) if not found.stuck(each)]
        if not learnt:
            continue
        means = [Spread.of(each)[0] for each in zip(*(m.losses for m in learnt), strict=True)]
        axes.plot(
            range(1, len(means) + 1), means, color=_blue(shade), label=f"×{scale}", markersize=4,
            marker=MARKERS[i % len(MARKERS)], linestyle=DASHES[i % len(DASHES)],
        )  # fmt: skip
    if axes.lines:
        axes.legend(fontsize=8)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("epoch")
    axes.set_ylabel("training loss")
    title_left(axes, "PGD training")


def _blue(shade: float) -> tuple[float, float, float]:
    """Return a blue, the darker the larger `shade`, between 0 and 1."""
    light, dark = (0.55, 0.78, 0.94), (0.0, 0.13, 0.33)
    red, green, blue = (a + shade * (b - a) for a, b in zip(light, dark, strict=True))
    return red, green, blue


def _draw_leaking(axes: Axes, found: Capacity, named: Mapping[str, Look]) -> None:
    for training in found.trainings:
        if not training.startswith("FGSM"):
            continue
        values = [
            [100 * m.measured.leaks for m in found.of(training, scale) if not found.stuck(m)]
            for scale in found.scales
        ]
        _line(axes, found.scales, values, named[training], training)
    axes.axhline(0, color="black", lw=0.8, ls=":")
    axes.set_ylabel("FGSM − clean (points)")
    title_left(axes, "label leaking")


def _draw_pairs(
    axes: Axes, found: Capacity, named: Mapping[str, Look], value: Callable[..., float]
) -> None:
    for training in found.trainings:
        values = [[value(p) for p in found.pairs_of(training, s)] for s in found.scales]
        _line(axes, found.scales, values, named[training], training)
