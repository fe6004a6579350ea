"""The figure of `distillation`: success, vanished gradients, logits and accuracy against T."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from saddlepoint.lab.distillation import DistillationFindings
from saddlepoint.lab.distillation_attacks import ANY, LINES
from saddlepoint.lab.distilled import DISTILLED, HARD, KINDS
from saddlepoint.lab.panels import looks, sheet, title_left
from saddlepoint.lab.spread import Spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from saddlepoint.reports.style import Look

ZEROS = {
    "zero32": "gradient 0, float32",
    "zero64": "gradient 0, float64",
    "one_hot": "softmax one-hot, float32",
    "zero_odds": "log-odds' gradient 0, float32",
}


def draw_distillation(found: DistillationFindings) -> Figure:
    """Draw, against T: the images that each attack fools on networks with and without a teacher,
    zero gradients, mean |Z|, and clean accuracy; means with standard deviations over the seeds.

    Reference: Carlini and Wagner 2017, arXiv:1608.04644, figure 8.

    >>> len(draw_distillation(DistillationFindings((), ())).axes)
    6
    """
    with sheet(9.6, 6.4) as figure:
        (on_f, without, on_z), (zeros, logits, clean) = figure.subplots(2, 3)
        published = [line.name for line in LINES if line.group == "published"]
        ours = [line.name for line in LINES if line.group == "here"]
        _fooled(on_f, found, DISTILLED, published, "published attacks, distilled")
        _fooled(without, found, HARD, published, "published attacks, hard labels")
        _fooled(on_z, found, DISTILLED, ours, "attacks on the logits, distilled")
        for what, look in looks(ZEROS.values()).items():
            name = next(key for key, text in ZEROS.items() if text == what)
            values = [found.outputs(DISTILLED, name, t) for t in found.temperatures]
            _line(zeros, found.temperatures, values, look, what, 100)
        _shares(zeros, "of the right images (%)", "what is exactly 0 (or 1), distilled")
        for kind, look in looks(KINDS).items():
            values = [found.outputs(kind, "mean_logit", t) for t in found.temperatures]
            label = f"{kind}: T to the {found.growth(kind).mean:.2f}"
            _line(logits, found.temperatures, values, look, label)
            values = [found.outputs(kind, "accuracy", t) for t in found.temperatures]
            _line(clean, found.temperatures, values, look, kind, 100)
        if found.temperatures:
            logits.set_yscale("log")
        logits.set_ylabel("mean |Z|")
        title_left(logits, "size of the logits")
        clean.set_ylabel("clean accuracy (%)")
        title_left(clean, "accuracy without attack")
        for axes in (on_f, without, on_z):
            _against_temperature(axes, found.temperatures, columns=2)
        for axes in (zeros, logits, clean):
            _against_temperature(axes, found.temperatures, columns=1)
    return figure


def _fooled(
    axes: Axes, found: DistillationFindings, kind: str, attacks: Sequence[str], title: str
) -> None:
    there = [each for each in attacks if each in found.attacks(kind, ANY)]
    for attack, look in looks(there).items():
        values = [found.fooled(kind, ANY, attack, t) for t in found.temperatures]
        _line(axes, found.temperatures, values, look, attack, 100)
    _shares(axes, "fooled (%)", title)


def _shares(axes: Axes, label: str, title: str) -> None:
    axes.set_ylim(-4, 104)
    axes.set_ylabel(label)
    title_left(axes, title)


def _line(
    axes: Axes,
    temperatures: Sequence[float],
    values: Sequence[Spread],
    look: Look,
    label: str,
    factor: float = 1,
) -> None:
    plot_spreads(axes, [math.log10(t) for t in temperatures], values, look, factor, label)


def plot_spreads(
    axes: Axes,
    x: Sequence[float],
    values: Sequence[Spread],
    look: Look,
    factor: float = 1,
    label: str | None = None,
) -> None:
    """Draw means against `x`, with their standard deviations shaded.

    >>> with sheet(4, 3) as figure:
    ...     axes = figure.subplots()
    >>> plot_spreads(axes, [1, 2], [Spread(0.5, 0.1), Spread(0.7, 0.1)], looks(["A"])["A"], 100)
    >>> axes.lines[0].get_ydata().tolist()
    [50.0, 70.0]
    """
    bands = [(each.mean, 0.0 if each.sd != each.sd else each.sd) for each in values]
    low, high = ([factor * (mean + sign * sd) for mean, sd in bands] for sign in (-1, 1))
    axes.fill_between(x, low, high, color=look.colour, alpha=0.15, lw=0)
    axes.plot(x, [factor * mean for mean, _ in bands], **look.line, markersize=4, label=label)


def _against_temperature(axes: Axes, temperatures: Sequence[float], columns: int) -> None:
    axes.set_xlabel("T")
    # The logarithm on a linear axis, whose ticks are the values of T themselves.
    axes.set_xticks([math.log10(t) for t in temperatures], [f"{t:g}" for t in temperatures])
    if axes.lines:  # below the panel, where it hides no line
        axes.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=columns, fontsize=6.5,
            handlelength=2.4, columnspacing=0.8,
        )  # fmt: skip
