"""Where a patch is: the codes of places of a vision transformer, of which each kind is a class.

Dosovitskiy et al., An Image is Worth 16x16 Words, 2021, arXiv:2010.11929, appendix D.4. The usual
code is learned and one-dimensional; interpolation in two dimensions is for other resolutions alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from saddlepoint.errors import InputError
from saddlepoint.zoo.tables import Grid, offsets, relative_index, resized_grid, square

_STD = 0.02


@dataclass(frozen=True)
class Places:
    """What is numbered: a grid of patches, behind a class token or not, with d features in heads.

    >>> Places((14, 14), 768, heads=12).tokens
    197
    """

    grid: Grid
    d: int
    heads: int = 1
    classed: bool = True

    @property
    def tokens(self) -> int:
        """How many tokens there are."""
        return self.grid[0] * self.grid[1] + self.classed


class NoPositions(nn.Module):
    """No code: patches are a bag, and their order is nothing to the logits.

    >>> tokens = torch.rand(1, 5, 6)
    >>> torch.equal(NoPositions(Places((2, 2), 6))(tokens, (2, 2)), tokens)
    True
    """

    def __init__(self, places: Places) -> None:
        super().__init__()
        self.places = places

    def forward(self, tokens: Float[Tensor, "n t d"], grid: Grid) -> Float[Tensor, "n t d"]:
        """Return the tokens of a grid with their codes."""
        return tokens

    def bias(
        self,
        query: Float[Tensor, "n h t e"],
        grid: Grid,
        kept: Int64[Tensor, "n v"] | None = None,
    ) -> Float[Tensor, "n h t t"] | None:
        """Return what the code adds to the logits of every attention, of the patches that are kept."""
        return None


class LearnedPositions(NoPositions):
    """One learned vector for each token, the class token's first: `table` (N + 1, d).

    At another grid the patches' part is interpolated (bicubic); the class token's row stays.

    >>> codes = LearnedPositions(Places((2, 2), 6))
    >>> codes.table.shape, codes(torch.zeros(1, 10, 6), (3, 3)).shape
    (torch.Size([5, 6]), torch.Size([1, 10, 6]))
    """

    no_decay = frozenset({"table"})
    """Parameters that weight decay is not for."""

    def __init__(self, places: Places) -> None:
        super().__init__(places)
        self.table = nn.Parameter(
            nn.init.trunc_normal_(torch.empty(places.tokens, places.d), std=_STD)
        )

    def forward(self, tokens: Float[Tensor, "n t d"], grid: Grid) -> Float[Tensor, "n t d"]:
        """Return the tokens of a grid with their codes."""
        return tokens + self._resized(self.table, self.places.grid, grid)

    def refitted(self, name: str, table: Tensor) -> Tensor | None:
        """Return a table of another, square grid in the size of this one."""
        grid = square(len(table) - self.places.classed)
        if table.ndim != 2 or table.shape[1] != self.places.d or grid is None:
            return None
        return self._resized(table, grid, self.places.grid)

    def _resized(self, table: Tensor, own: Grid, grid: Grid) -> Tensor:
        if own == grid:
            return table
        first, rest = table[: self.places.classed], table[self.places.classed :]
        return torch.cat([first, resized_grid(rest.reshape(*own, -1), grid).flatten(0, 1)])


class AxialPositions(NoPositions):
    """A learned vector of d/2 features for the row and one for the column; none for a class token.

    >>> codes = AxialPositions(Places((2, 3), 6))
    >>> codes.rows.shape, codes.columns.shape
    (torch.Size([2, 3]), torch.Size([3, 3]))
    """

    no_decay = frozenset({"rows", "columns"})
    """Parameters that weight decay is not for."""

    def __init__(self, places: Places) -> None:
        super().__init__(places)
        if places.d % 2:
            raise InputError(f"positions 2d halve the width, which is {places.d}; give an even one")
        height, width = places.grid
        self.rows = nn.Parameter(
            nn.init.trunc_normal_(torch.empty(height, places.d // 2), std=_STD)
        )
        self.columns = nn.Parameter(
            nn.init.trunc_normal_(torch.empty(width, places.d // 2), std=_STD)
        )

    def forward(self, tokens: Float[Tensor, "n t d"], grid: Grid) -> Float[Tensor, "n t d"]:
        """Return the tokens of a grid with their codes."""
        rows, columns = (
            _resized_line(table, side)
            for table, side in zip((self.rows, self.columns), grid, strict=True)
        )
        pairs = rows[:, None].expand(-1, grid[1], -1), columns[None].expand(grid[0], -1, -1)
        codes = torch.cat(pairs, -1).flatten(0, 1)
        return tokens + functional.pad(codes, (0, 0, int(self.places.classed), 0))

    def refitted(self, name: str, table: Tensor) -> Tensor | None:
        """Return the rows or columns of another grid in the size of this one."""
        own: Tensor = getattr(self, name)
        if table.ndim != 2 or table.shape[1] != own.shape[1]:
            return None
        return _resized_line(table, len(own))


class RelativePositions(NoPositions):
    """A learned vector r for each offset of two patches; q·r/√d_h is added to the attention.

    One `table` (2h − 1, 2w − 1, d/heads) for all blocks and heads. Offsets have a row and a column
    here, so that the table can be interpolated; the paper numbers patches in one dimension. The
    class token has no place: nothing is added where it looks or is looked at.

    >>> codes = RelativePositions(Places((2, 2), 6, heads=2))
    >>> codes.bias(torch.rand(1, 2, 5, 3), (2, 2)).shape
    torch.Size([1, 2, 5, 5])
    """

    no_decay = frozenset({"table"})
    """Parameters that weight decay is not for."""

    def __init__(self, places: Places) -> None:
        super().__init__(places)
        shape = (*offsets(places.grid), places.d // places.heads)
        self.table = nn.Parameter(nn.init.trunc_normal_(torch.empty(shape), std=_STD))

    def bias(
        self,
        query: Float[Tensor, "n h t e"],
        grid: Grid,
        kept: Int64[Tensor, "n v"] | None = None,
    ) -> Float[Tensor, "n h t t"] | None:
        """Return q·r/√d_h for each pair of patches, of those that are kept."""
        first = int(self.places.classed)
        asking = query[..., first:, :] * query.shape[-1] ** -0.5
        table = resized_grid(self.table, offsets(grid)).flatten(0, 1)
        index = relative_index(grid, query.device)
        if kept is not None:
            index = index[kept[:, :, None], kept[:, None, :]][:, None]
        # One product for each offset, and each pair takes that of its own.
        found = (asking @ table.T).gather(-1, index.expand(*asking.shape[:-1], -1))
        return functional.pad(found, (first, 0, first, 0))

    def refitted(self, name: str, table: Tensor) -> Tensor | None:
        """Return a table of another grid in the size of this one."""
        if table.ndim != 3 or table.shape[2] != self.table.shape[2]:
            return None
        return resized_grid(table, offsets(self.places.grid))


POSITIONS: Mapping[str, type[NoPositions]] = {
    "none": NoPositions,
    "1d": LearnedPositions,
    "2d": AxialPositions,
    "relative": RelativePositions,
}
"""The kinds by name."""


def _resized_line(table: Float[Tensor, "l d"], length: int) -> Float[Tensor, "m d"]:
    return resized_grid(table[:, None], (length, 1))[:, 0]
