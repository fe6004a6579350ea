"""The loss along the segments between two maxima of the same image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from saddlepoint.attacks import PGD
from saddlepoint.lab.experiment import PerModel, Settings
from saddlepoint.lab.outputs import losses
from saddlepoint.lab.panels import key, legend_above, sheet, title_left
from saddlepoint.lab.table import Table
from saddlepoint.lab.trajectories import trace_restarts
from saddlepoint.option_values import Count, Positive, Whole
from saddlepoint.threat import Linf

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_IMAGES = 5  # in the figure
_LINES = 28  # in one of its panels


@dataclass(frozen=True)
class SegmentSettings(Settings):
    """Settings of `segments`.

    Args:
        eps: the Linf budget, in pixels.
        steps: of PGD, which finds the maxima.
        maxima: per image; every two of them have a segment.
        points: on each segment, both ends included.

    >>> SegmentSettings().points
    21
    """

    eps: Positive = 0.2
    steps: Count = 40
    maxima: Annotated[int, Whole(2)] = 8
    points: Annotated[int, Whole(3)] = 21


@dataclass(frozen=True, eq=False)
class Segments:
    """The losses along the segments of one model.

    Attributes:
        along: (n, pairs, points) the cross-entropy from one maximum to another.
        random: (n,) its mean over the random points of the ball that PGD began at.
        clean: (n,) that of the clean images.

    >>> Segments(torch.zeros(1, 1, 3), torch.zeros(1), torch.zeros(1)).largest_at_an_end
    tensor([1.])
    """

    along: Float[Tensor, "n pairs points"]
    random: Float[Tensor, " n"]
    clean: Float[Tensor, " n"]

    @property
    def largest_at_an_end(self) -> Float[Tensor, " n"]:
        """The share of the segments on which no point between has a larger loss than both ends."""
        ends = torch.maximum(self.along[:, :, 0], self.along[:, :, -1])
        return (self.along[:, :, 1:-1].amax(2) <= ends).float().mean(1)

    def tables(self) -> Mapping[str, Table]:
        """Return the ends and the middles per image, and the mean course along its segments."""
        middle = self.along[:, :, self.along.shape[2] // 2].mean(1)
        ends = (self.along[:, :, 0] + self.along[:, :, -1]).mean(1) / 2
        summary = {
            "image": range(len(ends)),
            "clean loss": self.clean,
            "random points": self.random,
            "ends": ends,
            "middle": middle,
            "middle / ends": middle / ends,
            "largest at an end": self.largest_at_an_end,
        }
        images, pairs, points = self.along.shape
        places = {
            "image": range(images),
            "pair": range(pairs),
            "position": torch.linspace(0, 1, points).tolist(),
        }
        return {
            "summary": Table.of(summary),
            "segments": Table.long(places, {"loss": self.along}),
        }


def segments(
    model: nn.Module,
    images: Float[Tensor, "n ..."],
    labels: Int64[Tensor, " n"],
    settings: SegmentSettings,
    seed: int = 0,
) -> Segments:
    """Find maxima from random starts, and walk straight from each to each other.

    The ball and the valid range are convex: every point between is a permitted image too.

    Reference: Madry et al. 2018, arXiv:1706.06083, appendix A.

    >>> net, x, y = nn.Linear(2, 2), torch.full((1, 2), 0.5), torch.zeros(1).long()
    >>> segments(net, x, y, SegmentSettings(steps=3, maxima=3, points=5)).along.shape
    torch.Size([1, 3, 5])
    """
    attack = PGD(Linf(settings.eps), steps=settings.steps, loss="softmax-cross-entropy")
    traces = trace_restarts(model, images, labels, attack, settings.maxima, seed)
    maxima = traces.end.reshape(len(images), settings.maxima, *images.shape[1:])
    first, second = torch.triu_indices(settings.maxima, settings.maxima, 1).unbind()
    t = torch.linspace(0, 1, settings.points).reshape(-1, *[1] * (images.ndim - 1))
    along = []
    for found, label in zip(maxima, labels, strict=True):
        begin, end = found[first, None], found[second, None]
        line = begin * (1 - t) + end * t
        flat = line.flatten(0, 1).to(images)
        along.append(losses(model, flat, label.expand(len(flat))).reshape(line.shape[:2]))
    return Segments(
        along=torch.stack(along),
        random=traces.losses[:, 0].reshape(len(images), -1).mean(1),
        clean=losses(model, images, labels),
    )


def draw_segments(found: PerModel[Segments]) -> Figure:
    """Draw a panel per model and image: every segment, their mean, and the random points' loss.

    Reference: Madry et al. 2018, arXiv:1706.06083, appendix A.

    >>> one = Segments(torch.rand(2, 1, 3), torch.zeros(2), torch.zeros(2))
    >>> len(draw_segments(PerModel({"standard": one})).axes)
    2
    """
    from saddlepoint.reports.style import COLOURS

    results = found.results
    shown = min(_IMAGES, min(len(each.clean) for each in results.values()))
    with sheet(2.0 * max(shown, 2) + 0.6, 2.0 * len(results) + 0.5) as figure:
        grid = figure.subplots(len(results), shown, squeeze=False)
        for row, (name, each) in zip(grid, results.items(), strict=True):
            for i, axes in enumerate(row):
                lines = each.along[i].numpy()
                t = np.linspace(0, 1, lines.shape[1])
                several = lines[:_LINES].T
                axes.plot(t, several, color=COLOURS[0], lw=0.6, alpha=0.45, label="_segments")
                axes.plot(t, lines.mean(0), color=COLOURS[1], lw=2)
                axes.axhline(float(each.random[i]), color="black", ls="--", lw=1.2)
                axes.axhline(float(each.clean[i]), color="black", ls=":", lw=1.2)
                axes.set_ylim(bottom=-0.04 * float(lines.max()))
                axes.set_xticks([0, 0.5, 1])
            row[0].set_ylabel(f"loss\n({name})")
        for i in range(shown):
            title_left(grid[0, i], f"image {i}")
            grid[-1, i].set_xlabel("position")
        handles = [
            key("between two maxima", color=COLOURS[0], lw=1),
            key("mean", color=COLOURS[1], lw=2),
            key("random points of the ball", color="black", ls="--", lw=1.2),
            key("clean image", color="black", ls=":", lw=1.2),
        ]
        legend_above(figure, handles, columns=4 if shown > 2 else 2)
    return figure
