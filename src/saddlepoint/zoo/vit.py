"""The vision transformer: an image is a sequence of patches."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from saddlepoint.zoo.drop_path import rising
from saddlepoint.zoo.initialise import transformer_normal
from saddlepoint.zoo.positions import POSITIONS, NoPositions, Places
from saddlepoint.zoo.shapes import Size, check_counts, sides
from saddlepoint.zoo.stems import STEMS
from saddlepoint.zoo.tables import Grid
from saddlepoint.zoo.transformer_block import Regulariser, TransformerBlock
from saddlepoint.zoo.vit_design import VITS, ViTDesign

_EPS = 1e-6  # of every LayerNorm


class ViT(nn.Module):
    """ViT: patches, a class token, codes of places, L blocks; y = LN(z_L⁰), logits = head(y).

    Dosovitskiy et al., An Image is Worth 16x16 Words, 2021, arXiv:2010.11929. Images may have
    another size than `size`: tables of places are then interpolated. With the pool "mean" there is
    no class token, and y is the mean of LN(z_L).

    Raises `InputError` for images that are no multiple of the patch, and for heads that do not
    divide the width.

    >>> net = ViT(ViTDesign(), classes=10, channels=3, size=32)
    >>> net(torch.rand(2, 3, 32, 32)).shape, sum(p.numel() for p in net.parameters())
    (torch.Size([2, 10]), 459562)
    """

    positions: NoPositions

    def __init__(
        self,
        design: ViTDesign = VITS["vit-micro"],
        *,
        classes: int = 10,
        channels: int = 3,
        size: Size = 32,
    ) -> None:
        super().__init__()
        check_counts(classes, channels)
        self.design = design
        d, classed = design.width, design.pool == "class"
        places = Places(design.grid(sides(size)), d, design.heads, classed)

        self.class_token = nn.Parameter(torch.zeros(d)) if classed else None
        self.positions = POSITIONS[design.positions](places)
        self.embed = STEMS[design.stem](channels, d, design.patch)
        self.dropout = nn.Dropout(design.dropout)
        self.blocks = nn.ModuleList(
            TransformerBlock(
                d, design.heads, int(d * design.mlp_ratio), _EPS, Regulariser(design.dropout, p)
            )
            for p in rising(design.drop_path, design.depth)
        )
        self.norm = nn.LayerNorm(d, _EPS)
        self.head = _head(d, design.hidden, classes)
        transformer_normal(self)
        if self.class_token is not None:
            nn.init.normal_(self.class_token, std=1e-6)
        if design.head == "zero":
            _zero(self.head)

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Return the logits."""
        logits: Tensor = self.head(self.pooled(self.tokens(images)))
        return logits

    def layer_groups(self) -> list[list[nn.Module | nn.Parameter]]:
        """Return what a decay of the learning rate counts as a layer, from the image on."""
        token = [] if self.class_token is None else [self.class_token]
        groups: list[list[nn.Module | nn.Parameter]] = [[*token, self.positions, self.embed]]
        groups += [[block] for block in self.blocks]
        return [*groups, [self.norm, self.head]]

    def tokens(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n t d"]:
        """Return the tokens after the last block, normalised, the class token first."""
        grid = self.design.grid((images.shape[2], images.shape[3]))
        return self.encoded(self.embedded(images), grid)

    def embedded(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n l d"]:
        """Return the features of each patch, without a code of its place."""
        patches: Tensor = self.embed(images).flatten(2).transpose(1, 2)
        return patches

    def encoded(
        self, x: Float[Tensor, "n l d"], grid: Grid, kept: Int64[Tensor, "n v"] | None = None
    ) -> Float[Tensor, "n t d"]:
        """Return the tokens after the last block, normalised, of embedded patches of a grid.

        Args:
            x: features of all patches.
            grid: of them.
            kept: the patches of each image that are looked at, after all have got their codes; None
                is all of them.
        """
        if self.class_token is not None:
            x = torch.cat([self.class_token.expand(len(x), 1, -1), x], 1)
        z = self.positions(x, grid)
        if kept is not None:
            z = z.gather(1, self._places(kept)[:, :, None].expand(-1, -1, z.shape[2]))
        z = self.dropout(z)
        bias = partial(self.positions.bias, grid=grid, kept=kept)
        for block in self.blocks:
            z = block(z, bias)
        out: Tensor = self.norm(z)
        return out

    def _places(self, kept: Int64[Tensor, "n v"]) -> Int64[Tensor, "n t"]:
        """Return where patches and the class token stand among all tokens."""
        if self.class_token is None:
            return kept
        return torch.cat([kept.new_zeros(len(kept), 1), kept + 1], 1)

    def pooled(self, tokens: Float[Tensor, "n t d"]) -> Float[Tensor, "n d"]:
        """Return what the head is given: the class token, or the mean of the patches."""
        return tokens.mean(1) if self.class_token is None else tokens[:, 0]


def renew_head(network: ViT, classes: int, *, zero: bool = True) -> ViT:
    """Replace the head for fine-tuning by one linear layer, at zero or drawn anew; return the network.

    The paper takes the perceptron of pre-training off, and begins with a head of zeros.
    Raises `InputError` for fewer than two classes.

    >>> net = renew_head(ViT(ViTDesign(hidden=96), classes=1000), classes=5)
    >>> net(torch.rand(1, 3, 32, 32)).tolist()
    [[0.0, 0.0, 0.0, 0.0, 0.0]]
    """
    check_counts(classes, 1)
    head = _head(network.design.width, 0, classes).to(network.norm.weight)
    (_zero if zero else transformer_normal)(head)
    network.head = head
    return network


def _head(d: int, hidden: int, classes: int) -> nn.Module:
    if not hidden:
        return nn.Linear(d, classes)
    return nn.Sequential(
        OrderedDict[str, nn.Module](
            hidden=nn.Linear(d, hidden), tanh=nn.Tanh(), logits=nn.Linear(hidden, classes)
        )
    )


def _zero(head: nn.Module) -> None:
    last = head.logits if isinstance(head, nn.Sequential) else head
    assert isinstance(last, nn.Linear)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
