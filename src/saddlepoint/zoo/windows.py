"""Attention in windows: how a map is cut and put together, and which tokens of a window may meet.

Liu et al., Swin Transformer: Hierarchical Vision Transformer using Shifted Windows, 2021,
arXiv:2103.14030, section 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from saddlepoint.zoo.tables import Grid


@dataclass(frozen=True)
class Windows:
    """Windows of M×M, `side` M, which are shifted by ⌊M/2⌋ or not.

    >>> str(Windows(7, shifted=True).on((4, 4)))
    '4×4 in windows of 4×4, not shifted'
    """

    side: int
    shifted: bool = False

    def on(self, sides: Grid) -> Cut:
        """Return how a map is cut: where a side of it has at most M tokens it is the window's, and
        nothing is shifted in that direction.
        """
        shift = self.side // 2 if self.shifted else 0
        height, width = (min(side, self.side) for side in sides)
        down, right = (0 if side <= self.side else shift for side in sides)
        return Cut(sides, (height, width), (down, right))


@dataclass(frozen=True)
class Cut:
    """How a map of `sides` is cut: the window and the shift that are used, and the padding.

    >>> str(Cut(sides=(14, 10), window=(7, 7), shift=(3, 3)))
    '14×10 in windows of 7×7, shifted by 3×3, padded to 14×14'
    """

    sides: Grid
    window: Grid
    shift: Grid

    @property
    def padded(self) -> Grid:
        """The sides of the map after padding to whole windows, below and on the right."""
        height, width = (
            -(-side // window) * window
            for side, window in zip(self.sides, self.window, strict=True)
        )
        return height, width

    @property
    def plain(self) -> bool:
        """Whether every pair of a window may meet: no shift and no padding."""
        return self.shift == (0, 0) and self.padded == self.sides

    def __str__(self) -> str:
        shift = f"shifted by {_by(self.shift)}" if any(self.shift) else "not shifted"
        pad = "" if self.padded == self.sides else f", padded to {_by(self.padded)}"
        return f"{_by(self.sides)} in windows of {_by(self.window)}, {shift}{pad}"

    def windows(self, x: Float[Tensor, "n h w c"]) -> Float[Tensor, "n windows t c"]:
        """Return the windows of the map, which is padded with zeros and rolled by the shift."""
        if self.padded != self.sides:
            down, right = (p - s for p, s in zip(self.padded, self.sides, strict=True))
            x = functional.pad(x, (0, 0, 0, right, 0, down))
        if any(self.shift):
            x = x.roll((-self.shift[0], -self.shift[1]), (1, 2))
        return partition(x, self.window)

    def joined(self, windows: Float[Tensor, "n windows t c"]) -> Float[Tensor, "n h w c"]:
        """Return the map of the windows, rolled back and without padding: the inverse of `windows`."""
        x = merged(windows, self.padded, self.window)
        if any(self.shift):
            x = x.roll(self.shift, (1, 2))
        return x if self.padded == self.sides else x[:, : self.sides[0], : self.sides[1]]

    def regions(self, device: torch.device | None = None) -> Int64[Tensor, "h w"]:
        """Return the label of each place of the rolled map: tokens meet where labels are equal.

        What was rolled in from the other side has labels of its own, nine regions in all, and
        padding another one: masked as keys alone, its rows would be −∞ throughout and their
        gradients NaN.
        """
        lines, inside = [], []
        for side, padded, window, shift in zip(
            self.sides, self.padded, self.window, self.shift, strict=True
        ):
            place = torch.arange(padded, device=device)
            # The slices (0, −M), (−M, −s), (−s, None) of the rolled map.
            lines.append((place >= padded - window).long() + (place >= padded - shift).long())
            inside.append((place + shift) % padded < side)
        labels = 3 * lines[0][:, None] + lines[1]
        return labels.masked_fill(~(inside[0][:, None] & inside[1]), 9)

    def mask(
        self, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> Float[Tensor, "windows 1 t t"]:
        """Return the bias of each window: 0 where two tokens are of one region, else −∞."""
        label = partition(self.regions(device)[None, ..., None], self.window)[0, ..., 0]
        apart = label[:, :, None] != label[:, None, :]
        zeros = torch.zeros(apart.shape, device=device, dtype=dtype)
        return zeros.masked_fill(apart, -torch.inf)[:, None]


def partition(x: Float[Tensor, "n h w c"], window: Grid) -> Float[Tensor, "n windows t c"]:
    """Return the windows of a map row by row, each as a row of tokens.

    >>> partition(torch.arange(16).reshape(1, 4, 4, 1), (2, 2))[0, :, :, 0].tolist()
    [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]
    """
    n, height, width, c = x.shape
    cut = x.reshape(n, height // window[0], window[0], width // window[1], window[1], c)
    return cut.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def merged(
    windows: Float[Tensor, "n windows t c"], sides: Grid, window: Grid
) -> Float[Tensor, "n h w c"]:
    """Return the map of so many rows and columns that `partition` cut.

    >>> x = torch.rand(2, 4, 6, 3)
    >>> torch.equal(merged(partition(x, (2, 3)), (4, 6), (2, 3)), x)
    True
    """
    n, c = len(windows), windows.shape[-1]
    rows, columns = sides[0] // window[0], sides[1] // window[1]
    cut = windows.reshape(n, rows, columns, *window, c)
    return cut.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def attention_cost(height: int, width: int, channels: int) -> int:
    """Return the multiply-adds of attention among all tokens of a map, Ω(MSA) = 4hwC² + 2(hw)²C.

    Liu et al. (2021), equation 1.

    >>> f"{attention_cost(56, 56, 96):,}"
    '2,003,828,736'
    """
    tokens = height * width
    return 4 * tokens * channels**2 + 2 * tokens**2 * channels


def window_attention_cost(height: int, width: int, channels: int, window: int) -> int:
    """Return the multiply-adds of attention in M×M windows, Ω(W-MSA) = 4hwC² + 2M²hwC.

    Liu et al. (2021), equation 2.

    >>> f"{window_attention_cost(56, 56, 96, 7):,}"
    '145,108,992'
    """
    tokens = height * width
    return 4 * tokens * channels**2 + 2 * window**2 * tokens * channels


def _by(pair: Grid) -> str:
    return f"{pair[0]}×{pair[1]}"
