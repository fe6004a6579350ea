"""The figure of what pre-training is worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saddlepoint.lab.bert_found import BertLabels
from saddlepoint.lab.panels import keys_of, legend_above, looks, sheet
from saddlepoint.lab.spread import Spread

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_bert_labels(found: BertLabels) -> Figure:
    """Draw the test accuracy against the number of labels, a line for each start.

    >>> from saddlepoint.lab.bert_found import Tuned
    >>> rows = tuple(Tuned("from scratch", n, 1, 0.001, 0.55) for n in (100, 500))
    >>> len(draw_bert_labels(BertLabels(rows, 10)).axes[0].lines)
    1
    """
    named = looks(found.starts)
    with sheet(5.6, 3.4) as figure:
        axes = figure.subplots()
        for start, look in named.items():
            spreads = {count: Spread.of(values) for count, values in found.of(start).items()}
            axes.plot(
                list(spreads), [100 * each.mean for each in spreads.values()],
                **{**look.line, "markersize": 3, "linewidth": 1.0},
            )  # fmt: skip
        counts = sorted({each.labels for each in found.found})
        axes.set_xscale("log")
        axes.minorticks_off()
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.set_xlabel("labelled sentences")
        axes.set_ylabel(f"accuracy on {found.tested} test sentences (%)")
        legend_above(figure, keys_of(named), columns=2)
    return figure
