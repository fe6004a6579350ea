"""The parts of a Swin transformer: a block whose attention is in windows, and patch merging."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from saddlepoint.zoo.attention import Bias
from saddlepoint.zoo.relative_bias import RelativeBias
from saddlepoint.zoo.tables import Grid
from saddlepoint.zoo.transformer_block import NOTHING_LEFT_OUT, Regulariser, TransformerBlock
from saddlepoint.zoo.windows import Cut, Windows

EPS = 1e-5  # of every LayerNorm


class SwinBlock(TransformerBlock):
    """ẑ = (S)W-MSA(LN z) + z; z = MLP(LN ẑ) + ẑ, on a map (n, h, w, c).

    Liu et al., Swin Transformer, 2021, arXiv:2103.14030, equation 3. `cut` says which window and
    shift are used on a map of the `sides` it was built for; others are cut by the same rule.

    >>> import torch
    >>> SwinBlock(12, 3, 48, Windows(4, shifted=True), (8, 8))(torch.rand(2, 8, 8, 12)).shape
    torch.Size([2, 8, 8, 12])
    """

    mask: Tensor | None

    def __init__(
        self,
        d: int,
        heads: int,
        hidden: int,
        windows: Windows,
        sides: Grid,
        regulariser: Regulariser = NOTHING_LEFT_OUT,
        *,
        relative: bool = True,
    ) -> None:
        super().__init__(d, heads, hidden, EPS, regulariser)
        self.windows, self.cut = windows, windows.on(sides)
        self.bias = RelativeBias(self.cut.window, heads) if relative else None
        mask = None if self.cut.plain else self.cut.mask()
        self.register_buffer("mask", mask, persistent=False)

    def attended(self, x: Float[Tensor, "n ... d"], bias: Bias | None) -> Float[Tensor, "n ... d"]:
        """Return what each token of the map gathers from those of its window and region."""
        sides = (x.shape[1], x.shape[2])
        cut = self.cut if sides == self.cut.sides else self.windows.on(sides)
        gathered: Tensor = self.attention(cut.windows(x), bias=self._bias(cut, x))
        return cut.joined(gathered)

    def extra_repr(self) -> str:
        """Return what the block's line says of it."""
        return str(self.cut)

    def _bias(self, cut: Cut, x: Tensor) -> Tensor | None:
        relative = None if self.bias is None else self.bias(cut.window)
        if cut.plain:
            return relative
        mask = self.mask if cut is self.cut else cut.mask(x.device, x.dtype)
        return mask if relative is None else relative + mask


class PatchMerging(nn.Module):
    """The features of 2×2 neighbours under each other, normalised and mapped to 2C: half the map.

    They stand as x[0::2, 0::2], x[1::2, 0::2], x[0::2, 1::2], x[1::2, 1::2]. A row or column too
    few is padded with zeros. Liu et al. (2021), section 3.1, as one linear layer without bias, which
    is the same map as a 1×1 convolution.

    >>> import torch
    >>> PatchMerging(6)(torch.rand(2, 4, 5, 6)).shape
    torch.Size([2, 2, 3, 12])
    """

    def __init__(self, d: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * d, EPS)
        self.reduction = nn.Linear(4 * d, 2 * d, bias=False)

    def forward(self, x: Float[Tensor, "n h w c"]) -> Float[Tensor, "n h2 w2 c2"]:
        """Return the smaller map."""
        if x.shape[1] % 2 or x.shape[2] % 2:
            x = functional.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        n, height, width, c = x.shape
        quads = x.reshape(n, height // 2, 2, width // 2, 2, c)
        found: Tensor = self.reduction(self.norm(quads.permute(0, 1, 3, 4, 2, 5).flatten(3)))
        return found
