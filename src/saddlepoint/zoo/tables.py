"""Tables over places, learned at one size and used at another: position codes, relative biases."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from saddlepoint.errors import InputError
from saddlepoint.model.wrapped import plain_modules, plain_name, plain_state

Grid = tuple[int, int]


def resized_grid(table: Float[Tensor, "h w d"], grid: Grid) -> Float[Tensor, "h2 w2 d"]:
    """Return a table of another size, by bicubic interpolation; the table itself at its own.

    >>> resized_grid(torch.ones(7, 7, 4), (3, 5)).shape
    torch.Size([3, 5, 4])
    """
    if tuple(table.shape[:2]) == grid:
        return table
    channels_first = table.permute(2, 0, 1)[None]
    resized = functional.interpolate(channels_first, grid, mode="bicubic", align_corners=False)
    return resized[0].permute(1, 2, 0)


def relative_index(grid: Grid, device: torch.device | None = None) -> Int64[Tensor, "t t"]:
    """Return the row of the table of offsets for each pair of places of a grid:
    (Δrow + h − 1)(2w − 1) + (Δcolumn + w − 1), from the one that looks to the one looked at.

    Liu et al., Swin Transformer, 2021, arXiv:2103.14030, section 3.2.

    >>> relative_index((2, 2))
    tensor([[4, 3, 1, 0],
            [5, 4, 2, 1],
            [7, 6, 4, 3],
            [8, 7, 5, 4]])
    """
    height, width = grid
    place = torch.arange(height * width, device=device)
    row, column = place // width, place % width
    rows = row[:, None] - row + height - 1
    return rows * (2 * width - 1) + column[:, None] - column + width - 1


def offsets(grid: Grid) -> Grid:
    """Return how many offsets a grid has in each direction.

    >>> offsets((7, 7))
    (13, 13)
    """
    return 2 * grid[0] - 1, 2 * grid[1] - 1


@runtime_checkable
class Resizable(Protocol):
    """A module whose tables can be had from those of another size.

    >>> isinstance(nn.Linear(1, 1), Resizable)
    False
    """

    def refitted(self, name: str, table: Tensor) -> Tensor | None:
        """Return a foreign table `name` in the size of the module's own; None where it cannot be."""
        ...


def resized_tables(state: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Return a state dict whose position codes and relative biases have the sizes of the network's,
    by bicubic interpolation, and kernels those of its patches; everything else is left as it is.

    Fine-tuning at another resolution begins so (Dosovitskiy et al., 2021, section 3.2). A table of
    one row per place does not say its grid, and is taken for that of a square one: of 4×16 places
    it would be read as 8×8. Raises `InputError` for a table that is of no square grid, or of other features.

    >>> from saddlepoint.zoo import build_model
    >>> small, large = (build_model("vit-micro", classes=4, shape=(3, s, s)) for s in (32, 48))
    >>> large.load_state_dict(resized_tables(small.state_dict(), large))
    <All keys matched successfully>
    """
    own, ready = plain_state(network), dict(state)
    plain = plain_name(network)
    given = {plain(key): key for key in state}
    for path, part in plain_modules(network).items():
        if not isinstance(part, Resizable):
            continue
        for name, _ in part.named_parameters(recurse=False):
            key = f"{path}.{name}"
            if key not in given or state[given[key]].shape == own[key].shape:
                continue
            table = state[given[key]]
            fitted = part.refitted(name, table)
            if fitted is None:
                raise InputError(
                    f"{key} is {tuple(table.shape)}, which cannot be interpolated to"
                    f" {tuple(own[key].shape)}; it is of a network of another kind or width"
                )
            ready[given[key]] = fitted
    return ready


def resizing_hint(network: nn.Module, key: str, table: Tensor) -> str:
    """Return how a table of a file, of another shape than the network's, is made to fit; "" where
    it is none.

    >>> resizing_hint(nn.Linear(2, 2), "weight", torch.zeros(3, 2))
    ''
    """
    path, _, name = key.rpartition(".")
    part = plain_modules(network).get(path)
    if not isinstance(part, Resizable) or part.refitted(name, table) is None:
        return ""
    return (
        "it is of another resolution, patch or window: interpolate it with"
        " saddlepoint.zoo.resized_tables(state, model)"
    )


def square(count: int) -> Grid | None:
    """Return the square grid of so many places; None where there is none.

    >>> square(196), square(7)
    ((14, 14), None)
    """
    side = math.isqrt(max(count, 0))
    return (side, side) if side and side * side == count else None
