"""The figure of the game on images: D by epoch, and the classes of the samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saddlepoint.evaluation.generative.measures import LEAST
from saddlepoint.lab.gan_game import GameFindings
from saddlepoint.lab.panels import key, keys_of, legend_above, looks, sheet, title_left

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_gan_game(found: GameFindings) -> Figure:
    """Draw D on data and on samples by epoch for each loss, and the share of each class.

    >>> from saddlepoint.lab.gan_game import ClassHistogram, Played
    >>> metrics = ({"epoch": 1, "discriminator_loss": 1.3, "d_of_data": 0.6, "d_of_samples": 0.4},)
    >>> one = Played("minimax", 1, metrics, ClassHistogram((9, 1)), (2.0, 1.0), 50.0, 2.0)
    >>> len(draw_gan_game(GameFindings((one,), ("0", "1"), 0.99)).axes)
    2
    """
    names = tuple(dict.fromkeys(each.loss for each in found.games))
    named = looks(names)
    with sheet(8.6, 3.2) as figure:
        left, right = figure.subplots(1, 2)
        for game in found.games:
            look = named[game.loss]
            epochs = [each["epoch"] for each in game.metrics]
            for name, style in (("d_of_data", "-"), ("d_of_samples", "--")):
                left.plot(
                    epochs, [each[name] for each in game.metrics],
                    **{**look.line, "linestyle": style, "markersize": 3, "linewidth": 1.0},
                )  # fmt: skip
            right.plot(
                range(len(found.classes)), [100 * share for share in game.histogram.shares],
                **{**look.line, "linestyle": "", "markersize": 4},
            )  # fmt: skip
        left.axhline(0.5, color="black", lw=0.8, ls=":")
        left.set_ylim(0, 1)
        left.set_xlabel("epoch")
        title_left(left, "mean of D: on data, and dashed on samples")
        right.axhline(100 * LEAST, color="black", lw=0.8, ls=":")
        right.set_ylim(bottom=0)
        right.set_xticks(range(len(found.classes)), list(found.classes))
        right.set_xlabel("class")
        title_left(right, f"share of the samples (%); dotted: {100 * LEAST:g} %")
        legend_above(figure, [*keys_of(named), key("1/2", color="black", linestyle=":")])
    return figure
