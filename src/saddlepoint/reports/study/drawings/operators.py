"""Figures 4 and 5: a convolution as two matrices, drawn from its real weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, FigureBase
from torch import Tensor, nn

from saddlepoint.defences.linear_operator import MatrixOperator, dense_operator
from saddlepoint.errors import InputError
from saddlepoint.reports.style import style

_COLOURS, _NOTHING = "RdBu_r", "0.86"  # white would be a weight near zero
_MOST_OUTPUTS, _MOST_INPUTS = 8, 4  # kernels that are drawn
_MOST_ENTRIES = 2**20  # of the operator's matrix


def reshape_figure(layer: nn.Module) -> Figure:
    """Return the figure of the kernels of a two-dimensional convolution, and beside them its weight as
    the matrix [C_out, C_in·K·K].

    Of a large layer the first 8 output and 4 input channels are drawn; of one with groups, the
    first group. Raises `InputError` for another layer.

    >>> figure = reshape_figure(nn.Conv2d(2, 3, 3))
    >>> figure.axes[-2].get_xlabel()
    'input channel · kernel entry (C_in·K·K = 18)'
    """
    kernels = _kernels(layer)
    matrix = MatrixOperator.of(layer).matrices(kernels)[0]
    kernels = kernels[: min(len(matrix), _MOST_OUTPUTS), :_MOST_INPUTS]
    rows, columns, high, wide = kernels.shape
    heights, widths = (rows, matrix.shape[0]), (columns * high * wide, matrix.shape[1])
    matrix = matrix[: heights[0], : widths[0]]
    limit = float(matrix.abs().max()) or 1.0
    with style():
        figure = Figure(figsize=(9.0, 0.9 + 0.5 * rows), layout="constrained")
        left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(1, 2.2))[0]
        grid = _grid(left, kernels, limit)
        for i in range(rows):
            grid[i, 0].set_ylabel(f"out {i + 1}", rotation=0, ha="right", va="center")
        for j in range(columns):
            grid[0, j].set_title(f"in {j + 1}", fontsize=9)
        axes = right.subplots()
        right.suptitle("as a matrix", fontsize=10)
        _heat(axes, matrix, limit)
        axes.set_aspect("auto")
        for j in range(1, columns):  # where the next input channel begins
            axes.axvline(j * high * wide - 0.5, color="black", linewidth=0.8, label="_kernel")
        axes.set_yticks(range(rows), [str(i + 1) for i in range(rows)])
        axes.set_ylabel(f"output channel ({_part('C_out', *heights)})")
        axes.set_xlabel(f"input channel · kernel entry ({_part('C_in·K·K', *widths)})")
        _bar(right, axes, limit)
    return figure


def operator_figure(layer: nn.Module, input_shape: Sequence[int]) -> Figure:
    """Return the figure of the kernels of a two-dimensional convolution, and the matrix that it is as a
    map from images to images: equal colours are the same weight, grey is zero.

    Args:
        layer: a small one, for instance 3×3 with one channel.
        input_shape: (C, H, W), for instance (1, 6, 6).

    Raises `InputError` for another layer, and for a matrix of over a million entries.

    >>> figure = operator_figure(nn.Conv2d(1, 1, 3, padding=1), (1, 5, 5))
    >>> figure.axes[-2].get_title()
    '25 × 25, 27 % of the entries other than zero'
    """
    kernels = _kernels(layer)
    matrix = dense_operator(layer, input_shape)
    if matrix.numel() > _MOST_ENTRIES:
        raise InputError(
            f"the operator is {matrix.shape[0]} × {matrix.shape[1]}; draw a smaller layer or input"
        )
    drawn = kernels[:_MOST_OUTPUTS, :_MOST_INPUTS]
    limit = float(kernels.abs().max()) or 1.0
    with style():
        figure = Figure(figsize=(8.4, 5.0), layout="constrained")
        left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(1, 2.2))[0]
        for place, cell in np.ndenumerate(_grid(left, drawn, limit)):
            if drawn.shape[:2].numel() <= 4:
                _write(cell, drawn[place], limit)
        axes = right.subplots()
        axes.set_facecolor(_NOTHING)
        _heat(axes, matrix.where(matrix != 0, torch.nan), limit)
        share = 100 * float((matrix != 0).double().mean())
        size = f"{matrix.shape[0]} × {matrix.shape[1]}"
        axes.set_title(f"{size}, {share:.0f} % of the entries other than zero", fontsize=10)
        shape = " × ".join(str(side) for side in input_shape)
        axes.set_xlabel(f"entry of the input ({shape})")
        axes.set_ylabel("entry of the output")
        _bar(figure, axes, limit)
    return figure


def _kernels(layer: nn.Module) -> Float[Tensor, "o i k l"]:
    """Return a layer's weight on the CPU, outputs first."""
    if not isinstance(layer, nn.Conv2d):
        raise InputError(f"a {type(layer).__name__} has no kernels to draw; give a Conv2d")
    return layer.weight.detach().cpu().float()


def _grid(figure: FigureBase, kernels: Float[Tensor, "o i k l"], limit: float) -> Any:
    """Draw every kernel in axes of its own, [o, i], and return the axes."""
    figure.suptitle("kernels", fontsize=10)
    grid = figure.subplots(*kernels.shape[:2], squeeze=False)
    for place, axes in np.ndenumerate(grid):
        _heat(axes, kernels[place], limit)
    return grid


def _part(name: str, drawn: int, whole: int) -> str:
    return f"{name} = {whole}" + (f", the first {drawn}" if drawn < whole else "")


def _heat(axes: Axes, values: Float[Tensor, "m n"], limit: float) -> None:
    axes.imshow(
        values.cpu().numpy(), cmap=_COLOURS, vmin=-limit, vmax=limit, interpolation="nearest"
    )
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():  # white cells at the edge belong to it as well
        side.set_visible(True)


def _write(axes: Axes, values: Float[Tensor, "m n"], limit: float) -> None:
    for (i, j), value in np.ndenumerate(values.numpy()):
        colour = "white" if abs(value) > 0.6 * limit else "black"
        axes.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=8, color=colour)


def _bar(figure: Any, axes: Axes, limit: float) -> None:
    scale = ScalarMappable(Normalize(-limit, limit), _COLOURS)
    figure.colorbar(scale, ax=axes, label="weight", shrink=0.8)
