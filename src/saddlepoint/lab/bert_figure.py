"""The figure of what pre-training is worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saddlepoint.lab.bert_found import FROZEN, BertLabels
from saddlepoint.lab.panels import keys_of, legend_above, looks, sheet, title_left
from saddlepoint.lab.spread import Spread

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_bert_labels(found: BertLabels) -> Figure:
    """Draw the test accuracy against the number of labels, a line for each start; classifiers on frozen
    features, where there are any, beside the others.

    >>> from saddlepoint.lab.bert_found import Tuned
    >>> rows = tuple(Tuned("from scratch", n, 1, 0.001, 0.55) for n in (100, 500))
    >>> len(draw_bert_labels(BertLabels(rows, 10)).axes[0].lines)
    1
    """
    named = looks(tuple(dict.fromkeys(start.removesuffix(FROZEN) for start in found.starts)))
    kinds = {"fine-tuned": "", "frozen": FROZEN}
    there = {
        kind: [name for name in named if f"{name}{end}" in found.starts]
        for kind, end in kinds.items()
    }
    shown = {kind: names for kind, names in there.items() if names}
    counts = sorted({each.labels for each in found.found})
    with sheet(3.0 + 2.8 * len(shown), 3.6) as figure:
        panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
        for axes, (kind, names) in zip(panels, shown.items(), strict=True):
            for name in names:
                values = found.of(f"{name}{kinds[kind]}")
                spreads = {count: Spread.of(each) for count, each in values.items()}
                axes.plot(
                    list(spreads), [100 * each.mean for each in spreads.values()],
                    **{**named[name].line, "markersize": 3, "linewidth": 1.0},
                )  # fmt: skip
            axes.set_xscale("log")
            axes.minorticks_off()
            axes.set_xticks(counts, [str(count) for count in counts])
            axes.set_xlabel("labelled sentences")
            if len(shown) > 1:
                title_left(axes, kind)
        panels[0].set_ylabel(f"accuracy on {found.tested} test sentences (%)")
        legend_above(figure, keys_of(named), columns=2)
    return figure
