"""The figure of the toy games: how far G is from p, where D goes, and both losses' gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from saddlepoint.lab.gan_toy import ToyFindings, generator_gradients
from saddlepoint.lab.line_game import cell_probabilities
from saddlepoint.lab.panels import keys_of, legend_above, looks, sheet, title_left
from saddlepoint.objectives import GENERATOR_LOSSES

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_gan_toy(found: ToyFindings) -> Figure:
    """Draw the game on the line by step, G at its end, and the gradients of the generator's losses.

    >>> from saddlepoint.lab.line_game import LineRecord
    >>> line = {("minimax", 1): [LineRecord(10, 0.01, 0.5, 0.5, 0.1)]}
    >>> len(draw_gan_toy(ToyFindings((), line, {("minimax", 1): cell_probabilities()})).axes)
    4
    """
    named = looks(GENERATOR_LOSSES)
    with sheet(10.4, 2.9) as figure:
        distance, means, histogram, gradients = figure.subplots(1, 4)
        for (loss, _), records in found.line.items():
            line = {**named[loss].line, "markersize": 3, "linewidth": 1.0}
            steps = [each.step for each in records]
            distance.plot(steps, [each.js for each in records], **line)
            means.plot(steps, [each.on_data for each in records], **line)
        distance.set_ylim(bottom=0)
        means.set_ylim(0, 1)
        means.axhline(0.5, color="black", lw=0.8, ls=":")
        for axes, title in ((distance, "JS of G and p (nats)"), (means, "mean of D on the data")):
            axes.set_xlabel("step")
            title_left(axes, title)
        p = cell_probabilities()
        places = torch.linspace(-3, 3, 2 * len(p) + 1)[1::2]
        histogram.fill_between(places, 100 * p, color="0.8", step="mid")
        for (loss, _), cells in found.histograms.items():
            histogram.plot(places, 100 * cells, color=named[loss].colour, lw=0.9)
        histogram.set_xlabel("x")
        title_left(histogram, "G at the end, p in grey (%)")
        logits, slopes = generator_gradients()
        for loss, values in slopes.items():
            look = named[loss]
            gradients.plot(logits, values, color=look.colour, linestyle=look.linestyle)
        gradients.set_xlabel("logit of a fake")
        title_left(gradients, "gradient of G's loss")
        legend_above(figure, keys_of(named))
    return figure
