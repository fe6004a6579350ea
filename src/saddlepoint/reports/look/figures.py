"""Figures of attention by layer: distances of the heads, divergence, shares on what changed."""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from saddlepoint.reports.style import look_of, style


def distance_figure(
    before: Mapping[str, Float[Tensor, " h"]], after: Mapping[str, Float[Tensor, " h"]] | None
) -> Figure:
    """Return the mean attention distance of each head against its layer; Dosovitskiy et al. (2021),
    figure 7.

    >>> import torch
    >>> distance_figure({"0": torch.ones(3)}, None).axes[0].get_ylabel()
    'mean attention distance (pixels)'
    """
    with style():
        figure = Figure(figsize=(5.2, 3.0))
        axes = figure.add_subplot()
        for i, (name, seen) in enumerate((("before", before), ("after the attack", after))):
            if seen is None:
                continue
            look, shift = look_of(i), 0.0 if after is None else 0.12 * (2 * i - 1)
            points = [
                (layer + shift, float(distance))
                for layer, heads in enumerate(seen.values(), start=1)
                for distance in heads
            ]
            x, y = zip(*points, strict=True)
            axes.plot(x, y, look.marker, color=look.colour, markersize=4, label=name)
        axes.set_ylabel("mean attention distance (pixels)")
        axes.set_ylim(0, 1.05 * axes.get_ylim()[1])
        _layers(axes, after is not None)
    return figure


def layer_figure(lines: Mapping[str, Mapping[str, Float[Tensor, " n"]]], label: str) -> Figure:
    """Return values by layer: the mean over the images as a line, each image as a point.

    >>> import torch
    >>> layer_figure({"before": {"0": torch.ones(3)}}, "share").axes[0].get_ylabel()
    'share'
    """
    with style():
        figure = Figure(figsize=(5.2, 3.0))
        axes = figure.add_subplot()
        for i, (name, seen) in enumerate(lines.items()):
            look = look_of(i)
            numbers = range(1, len(seen) + 1)
            axes.plot(
                numbers, [float(each.mean()) for each in seen.values()], **look.line, label=name
            )
            for layer, each in zip(numbers, seen.values(), strict=True):
                axes.plot(
                    [layer] * len(each), each.tolist(), ".", color=look.colour, alpha=0.5, ms=3
                )
        axes.set_ylabel(label)
        axes.set_ylim(0, 1.05 * axes.get_ylim()[1])
        _layers(axes, len(lines) > 1)
    return figure


def _layers(axes: Axes, legend: bool) -> None:
    axes.set_xlabel("layer")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if legend:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2)
