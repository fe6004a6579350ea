"""The relative position bias of windows: a number for each offset and head."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.zoo.tables import Grid, offsets, relative_index, resized_grid, square


class RelativeBias(nn.Module):
    """B of softmax(QKᵀ/√d + B)V, from a learned table ((2M − 1)², heads).

    For another window the table is interpolated (bicubic) on its (2M − 1)² grid.
    Liu et al., Swin Transformer, 2021, arXiv:2103.14030, equation 4.

    >>> bias = RelativeBias((7, 7), heads=3)
    >>> bias.table.shape, bias((7, 7)).shape, bias((4, 4)).shape
    (torch.Size([169, 3]), torch.Size([3, 49, 49]), torch.Size([3, 16, 16]))
    """

    index: Tensor

    no_decay = frozenset({"table"})
    """Parameters that weight decay is not for."""

    def __init__(self, window: Grid, heads: int) -> None:
        super().__init__()
        self.window = window
        height, width = offsets(window)
        self.table = nn.Parameter(
            nn.init.trunc_normal_(torch.empty(height * width, heads), std=0.02)
        )
        self.register_buffer("index", relative_index(window), persistent=False)

    def forward(self, window: Grid) -> Float[Tensor, "heads t t"]:
        """Return the bias of the pairs of a window."""
        if window == self.window:
            table: Tensor = self.table
            index = self.index
        else:
            table = self._resized(self.table, offsets(self.window), window)
            index = relative_index(window, self.table.device)
        return table[index].permute(2, 0, 1)

    def refitted(self, name: str, table: Tensor) -> Tensor | None:
        """Return a table of another, square window in the size of this one."""
        grid = square(len(table)) if table.ndim == 2 else None
        if grid is None or grid[0] % 2 == 0 or table.shape[1] != self.table.shape[1]:
            return None
        return self._resized(table, grid, self.window)

    def _resized(self, table: Tensor, grid: Grid, window: Grid) -> Tensor:
        return resized_grid(table.reshape(*grid, -1), offsets(window)).flatten(0, 1)
