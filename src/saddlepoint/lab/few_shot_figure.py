"""The figure of few-shot learning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saddlepoint.lab.few_shot import HEADS, NO_NETWORK, SOURCES, FewShot
from saddlepoint.lab.panels import key, keys_of, legend_above, looks, sheet, title_left
from saddlepoint.lab.spread import Spread

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLES = dict(zip(SOURCES, ("-", "--", ":"), strict=True))


def draw_few_shot(found: FewShot) -> Figure:
    """Draw the accuracy on new classes against the images of each, and the accuracies after fine-tuning
    by the head that it began with.

    >>> from saddlepoint.lab.few_shot import Shots, Tuned
    >>> shots = tuple(Shots("none", "pixels", 1, n, (0.5, 0.75)) for n in (1, 5))
    >>> tuned = (Tuned("net", "zero", 1, 0.9, 0.2), Tuned("net", "random", 1, 0.8, 0.3))
    >>> len(draw_few_shot(FewShot(shots, tuned, 5)).axes)
    2
    """
    named = looks(dict.fromkeys(each.network for each in found.tuned))
    ticks = sorted({each.shots for each in found.shots})
    with sheet(8.6, 3.6) as figure:
        left, right = figure.subplots(1, 2)
        for network, source in found.lines:
            means = {n: Spread.of(values) for n, values in found.means(network, source).items()}
            own = (
                named[network].line if network != NO_NETWORK else {"color": "black", "marker": "x"}
            )
            line = {**own, "linestyle": _STYLES[source], "markersize": 3, "linewidth": 1.0}
            shown = [100 * each.mean for each in means.values()]
            bars = [100 * each.sd for each in means.values()]
            places = [ticks.index(n) for n in means]
            left.errorbar(places, shown, [0 if b != b else b for b in bars], **line)
        left.axhline(100 / found.classes, color="#808080", lw=0.8)
        left.set_xticks(range(len(ticks)), [str(each) for each in ticks])
        left.set_xlabel("images of each new class")
        left.set_ylabel("accuracy (%)")
        title_left(left, "ridge regression on features (grey: chance)")
        for name, look in named.items():
            for kind, style in (("clean", "-"), ("robust", "--")):
                spreads = [
                    Spread.of(
                        100 * getattr(each, kind)
                        for each in found.tuned
                        if (each.network, each.head) == (name, head)
                    )
                    for head in HEADS
                ]
                bars = [0 if each.sd != each.sd else each.sd for each in spreads]
                line = {**look.line, "linestyle": style, "markersize": 4, "linewidth": 1.0}
                right.errorbar(range(len(HEADS)), [each.mean for each in spreads], bars, **line)
        right.set_xticks(range(len(HEADS)), [f"head at {each}" for each in HEADS])
        right.set_xlim(-0.4, len(HEADS) - 0.6)
        right.set_ylim(-2, 102)
        title_left(right, "fine-tuned (solid: clean, dashed: PGD)")
        keys = keys_of(named)
        keys += [key(name, color="black", linestyle=style) for name, style in _STYLES.items()]
        legend_above(figure, keys)
    return figure
