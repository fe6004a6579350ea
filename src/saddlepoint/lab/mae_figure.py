"""The figures of the experiments on masked autoencoders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from saddlepoint.lab.mae_decoder import Variants
from saddlepoint.lab.mae_interpolation import Interpolation
from saddlepoint.lab.mae_labels import SCRATCH, Labels
from saddlepoint.lab.mae_robust import Robust
from saddlepoint.lab.panels import key, keys_of, legend_above, looks, sheet, title_left
from saddlepoint.lab.pretraining import METHODS
from saddlepoint.lab.spread import Spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from saddlepoint.reports.style import Look


def draw_mae_labels(found: Labels) -> Figure:
    """Draw the accuracy against the ratio of pre-training, a panel for each share of the labels; the
    same without pre-training is dotted.

    >>> from saddlepoint.lab.mae_labels import Learned
    >>> rows = [Learned(r, m, 0.1, 1, 0.1, 0.5) for r in ("none", "0.5", "0.75") for m in METHODS]
    >>> len(draw_mae_labels(Labels(tuple(rows))).axes)
    1
    """
    named = looks(METHODS)
    with sheet(4.4 * len(found.shares), 3.4) as figure:
        panels = figure.subplots(1, len(found.shares), squeeze=False)[0]
        for axes, share in zip(panels, found.shares, strict=True):
            for method, look in named.items():
                values = dict(found.of(method, share))
                before = values.pop(SCRATCH, [])
                _line(axes, [float(r) for r in values], values.values(), look, 100)
                if before:
                    axes.axhline(100 * Spread.of(before).mean, color=look.colour, ls=":", lw=1.0)
            axes.set_xlabel("share of hidden patches")
            axes.set_ylabel("accuracy (%)")
            title_left(axes, f"{100 * share:g} % of the labels")
        dotted = key("no pre-training", color="#606060", linestyle=":")
        legend_above(figure, [*keys_of(named), dotted])
    return figure


def draw_mae_decoder(found: Variants) -> Figure:
    """Draw the accuracy after each variant of pre-training.

    >>> from saddlepoint.lab.mae_decoder import Variant
    >>> rows = tuple(Variant("depth 1", m, 1, 0.1, 0.5) for m in METHODS)
    >>> len(draw_mae_decoder(Variants(rows)).axes)
    1
    """
    named = looks(METHODS)
    return _dots({look: found.of(method) for method, look in named.items()}, named)


def draw_mae_robust(found: Robust) -> Figure:
    """Draw the accuracies after adversarial training, clean and under APGD, by start.

    >>> from saddlepoint.lab.mae_robust import Hardened
    >>> len(draw_mae_robust(Robust((Hardened("from scratch", 1, 0.9, 0.5),))).axes)
    1
    """
    named = looks(("clean", "under APGD"))
    kinds = dict(zip(("clean", "robust"), named.values(), strict=True))
    return _dots({look: found.of(kind) for kind, look in kinds.items()}, named)


def draw_mae_interpolation(found: Interpolation) -> Figure:
    """Draw the errors of hidden pixels against the ratio.

    >>> from saddlepoint.lab.mae_interpolation import Painted
    >>> rows = (Painted(0.5, 1, 0.02, 0.03), Painted(0.75, 1, 0.03, 0.06))
    >>> len(draw_mae_interpolation(Interpolation(rows)).axes)
    1
    """
    named = looks(("reconstruction", "interpolation"))
    with sheet(4.8, 3.4) as figure:
        axes = figure.subplots()
        for kind, look in named.items():
            values = found.of(kind)
            _line(axes, list(values), values.values(), look)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("share of hidden patches")
        axes.set_ylabel("mean squared error")
        legend_above(figure, keys_of(named))
    return figure


def _dots(values: Mapping[Look, Mapping[str, Sequence[float]]], named: dict[str, Look]) -> Figure:
    names = list(next(iter(values.values())))
    with sheet(6.4, 1.4 + 0.35 * len(names)) as figure:
        axes = figure.subplots()
        for i, (look, found) in enumerate(values.items()):
            spreads = [Spread.of(100 * v for v in each) for each in found.values()]
            places = [j + 0.1 * (2 * i - 1) for j in range(len(names))]
            axes.errorbar(
                [each.mean for each in spreads], places, xerr=_bars(spreads), linestyle="",
                color=look.colour, marker=look.marker, markersize=4, linewidth=1.0,
            )  # fmt: skip
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlabel("accuracy (%)")
        legend_above(figure, keys_of(named))
    return figure


def _line(
    axes: Axes, x: list[float], values: Iterable[Sequence[float]], look: Look, scale: float = 1.0
) -> None:
    spreads = [Spread.of(scale * v for v in each) for each in values]
    style = {**look.line, "markersize": 4, "linewidth": 1.0}
    axes.errorbar(x, [each.mean for each in spreads], _bars(spreads), **style)


def _bars(spreads: Sequence[Spread]) -> list[float]:
    return [0 if each.sd != each.sd else each.sd for each in spreads]
