"""The figure of the regularisation experiment: errors, transfer, and the first layer's filters."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.lab.panels import keys_of, looks, sheet, title_left
from saddlepoint.lab.regularisation_findings import (
    Measures,
    Regularisation,
)
from saddlepoint.lab.spread import Spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SHOWN: dict[str, Callable[[Measures], float]] = {
    "clean": lambda measures: measures.clean,
    "random signs": lambda measures: measures.signs,
    "FGSM": lambda measures: measures.fgsm,
    "PGD": lambda measures: measures.pgd,
}
_SIDE = 6  # filters along a side of a mosaic


def draw_regularisation(found: Regularisation) -> Figure:
    """Draw the errors of every variant, the transfer between two, and filters of their first layers.

    Reference: Goodfellow et al. 2015, arXiv:1412.6572, figure 3 for the filters.

    >>> from saddlepoint.lab.early_stopping import EpochSearch
    >>> from saddlepoint.lab.regularisation_findings import Transfer, Trial
    >>> measures = Measures(0.1, 0.2, 0.9, 1.0, 0.8, 0.0, 0.9, 0.5, 30.0)
    >>> trials = tuple(Trial("dropout", 240, i, 9, measures) for i in range(2))
    >>> search = EpochSearch((0.1,), (0.9,), by_adversarial=False, stopped=True)
    >>> transfers = tuple(Transfer(240, "dropout", "dropout", i, 0.9, 0.5) for i in range(2))
    >>> searches, filters = {("dropout", 240): search}, {"dropout": torch.rand(9, 64)}
    >>> found = Regularisation(0.25, (1, 8, 8), trials, transfers, searches, filters)
    >>> len(draw_regularisation(found).axes)
    3
    """
    rows, pairs = len(found.searches), len(found.by_pair())
    with sheet(7.6, 0.3 * rows + 0.24 * pairs + 1.6) as figure:
        grid = figure.add_gridspec(
            2, 2, width_ratios=(1.75, 1), height_ratios=(1.25 * rows + 1, pairs + 1)
        )
        _draw_errors(figure.add_subplot(grid[0, 0]), found)
        _draw_transfer(figure.add_subplot(grid[1, 0]), found)
        filters = grid[:, 1].subgridspec(max(1, len(found.filters)), 1)
        for i, (variant, weights) in enumerate(found.filters.items()):
            axes = figure.add_subplot(filters[i, 0])
            _draw_filters(axes, weights, found.shape)
            units = max(units for _, units in found.searches)
            title_left(axes, f"filters, {variant}, {units} units")
        handles = keys_of(looks(_SHOWN))
        for handle in handles:
            handle.set_linestyle("none")
        figure.legend(handles=handles, loc="outside upper left", ncols=len(handles))
    return figure


def _draw_errors(axes: Axes, found: Regularisation) -> None:
    places = list(found.searches)
    for i, (name, look) in enumerate(looks(_SHOWN).items()):
        points = [
            Spread.of(_SHOWN[name](each.measures) for each in found.of(*place)) for place in places
        ]
        # Below each other, as FGSM and PGD often are at the same place.
        _points(axes, points, look.colour, look.marker, 0.18 * (i - (len(_SHOWN) - 1) / 2))
    _rows(axes, [f"{variant}, {units}" for variant, units in places])
    axes.set_xlabel(f"error on test images (%), eps {found.eps:g}")
    title_left(axes, "training, units")


def _draw_transfer(axes: Axes, found: Regularisation) -> None:
    pairs = found.by_pair()
    points = [Spread.of(each.error for each in several) for several in pairs.values()]
    fgsm = looks(_SHOWN)["FGSM"]
    _points(axes, points, fgsm.colour, fgsm.marker)
    _rows(axes, [f"{source} → {target}, {units}" for units, source, target in pairs])
    axes.set_xlabel("error of the target (%)")
    title_left(axes, "FGSM's images of one network before another")


def _points(
    axes: Axes,
    points: Sequence[tuple[float, float]],
    colour: str,
    marker: str,
    below: float = 0.0,
) -> None:
    axes.errorbar(
        [100 * mean for mean, _ in points], [i + below for i in range(len(points))],
        xerr=[100 * deviation for _, deviation in points],
        color=colour, marker=marker, linestyle="none", markersize=4.5, elinewidth=1.2, capsize=2,
    )  # fmt: skip


def _rows(axes: Axes, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), labels, fontsize=7.5)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_yticks([i - 0.5 for i in range(1, len(labels))], minor=True)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="y", which="minor")
    axes.tick_params(axis="y", which="minor", length=0)
    axes.set_xlim(-3, 103)


def _draw_filters(axes: Axes, weights: Float[Tensor, "filters d"], shape: tuple[int, ...]) -> None:
    tiles = strongest(weights, shape, _SIDE**2)
    largest = float(tiles.abs().max())
    axes.imshow(
        mosaic(tiles).numpy(), cmap="RdBu_r", vmin=-largest, vmax=largest, interpolation="none"
    )
    axes.set_axis_off()


def strongest(
    weights: Float[Tensor, "filters d"], shape: tuple[int, ...], count: int
) -> Float[Tensor, "count h w"]:
    """Return the filters of the largest norm as pictures, the mean over channels.

    >>> strongest(torch.tensor([[1.0, 0.0], [0.0, 3.0], [2.0, 0.0]]), (1, 1, 2), 2)
    tensor([[[0., 3.]],
    <BLANKLINE>
            [[2., 0.]]])
    """
    order = weights.norm(dim=1).argsort(descending=True, stable=True)[:count]
    return weights[order].reshape(-1, *shape).mean(1)


def mosaic(tiles: Float[Tensor, "count h w"]) -> Float[Tensor, "height width"]:
    """Return pictures side by side in a square, with a pixel of NaN between them.

    >>> mosaic(torch.ones(2, 1, 1))
    tensor([[1., nan, 1.]])
    """
    columns = math.ceil(len(tiles) ** 0.5)
    rows = math.ceil(len(tiles) / columns)
    height, width = tiles.shape[1:]
    picture = torch.full((rows * (height + 1) - 1, columns * (width + 1) - 1), torch.nan)
    for i, tile in enumerate(tiles):
        top, left = (i // columns) * (height + 1), (i % columns) * (width + 1)
        picture[top : top + height, left : left + width] = tile
    return picture
