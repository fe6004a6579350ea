"""The masked autoencoder: a vision transformer sees few patches, and a small decoder paints the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from saddlepoint.errors import InputError
from saddlepoint.model import Normalised
from saddlepoint.model.wrapped import bare
from saddlepoint.option_values import Count, Natural, check_fields
from saddlepoint.zoo.initialise import transformer_normal
from saddlepoint.zoo.masking import order_of, patchify, unpatchify, unshuffle
from saddlepoint.zoo.stems import PatchStem
from saddlepoint.zoo.tables import Grid
from saddlepoint.zoo.transformer_block import TransformerBlock
from saddlepoint.zoo.vit import ViT

_EPS = 1e-6  # of every LayerNorm
VARIANCE_FLOOR = 1e-6
"""Added to the variance of a patch before it is divided by."""


@dataclass(frozen=True)
class DecoderDesign:
    """What a decoder is built of, and what it predicts.

    Attributes:
        depth: blocks. With none a hidden patch is predicted from its place alone, and the encoder
            learns nothing, unless `mask_tokens` go into the encoder.
        width, heads: of its tokens; the paper has 8 blocks of 512.
        targets: the pixels of a patch "normalised" by its mean and standard deviation, or "raw".
        mask_tokens: where the token of hidden patches comes in: in the "decoder", or in the
            "encoder", which then works on all patches.

    >>> DecoderDesign(depth=0).width
    64
    """

    depth: Natural = 2
    width: Count = 64
    heads: Count = 4
    targets: Literal["normalised", "raw"] = "normalised"
    mask_tokens: Literal["decoder", "encoder"] = "decoder"

    def __post_init__(self) -> None:
        check_fields(self, "decoder")
        if self.width % 4:
            raise InputError(
                f"decoder: width is {self.width}; its codes of places want a multiple of 4"
            )


class MAEDecoder(nn.Module):
    """Tokens of the encoder to the pixels of every patch: a linear map, the mask token where a patch
    was hidden, fixed codes of places, blocks, LayerNorm, a linear map to p²C numbers.

    He et al., Masked Autoencoders Are Scalable Vision Learners, 2022, arXiv:2111.06377. The notes
    that this follows have 256 numbers for a patch of 16×16, which holds for grey images; RGB has 768.

    Args:
        encoder: whose tokens it takes.
        design: its own.

    Raises `InputError` for heads that do not divide the width, and as `vit_of`.

    >>> from saddlepoint.zoo.vit_design import ViTDesign
    >>> net = ViT(ViTDesign(), channels=1, size=28)
    >>> MAEDecoder(net)(torch.rand(2, 50, 96)).shape
    torch.Size([2, 49, 16])
    """

    def __init__(self, encoder: ViT, design: DecoderDesign | None = None) -> None:
        super().__init__()
        self.design = design = DecoderDesign() if design is None else design
        own, d = vit_of(encoder).design, design.width
        self.grid: Grid = encoder.positions.places.grid
        self.classed = encoder.class_token is not None
        inside = design.mask_tokens == "encoder"
        self.no_decay = frozenset({"encoder_token" if inside else "mask_token"})
        if inside:
            self.encoder_token = nn.Parameter(torch.empty(own.width))
        else:
            self.mask_token = nn.Parameter(torch.empty(d))
        self.embed = nn.Linear(own.width, d)
        self.blocks = nn.ModuleList(
            TransformerBlock(d, design.heads, 4 * d, _EPS) for _ in range(design.depth)
        )
        self.norm = nn.LayerNorm(d, _EPS)
        self.pixels = nn.Linear(d, own.patch**2 * channels_of(encoder))
        transformer_normal(self)
        nn.init.normal_(self.encoder_token if inside else self.mask_token, std=0.02)

    def forward(
        self, tokens: Float[Tensor, "n t d"], order: Int64[Tensor, "n l"] | None = None
    ) -> Float[Tensor, "n l e"]:
        """Return the predicted pixels of every patch, or what stands for them.

        Args:
            tokens: of the encoder, the class token first.
            order: of the patches, the visible ones first, whose tokens these are; None where there
                is one for each patch, in its place.
        """
        first = int(self.classed)
        z = self.embed(tokens)
        head, x = z[:, :first], z[:, first:]
        if order is not None:
            missing = order.shape[1] - x.shape[1]
            x = torch.cat([x, self.mask_token.expand(len(x), missing, -1)], 1)
            x = unshuffle(x, order)
        z = torch.cat([head, x + sincos(self.grid, self.design.width).to(x)], 1)
        for block in self.blocks:
            z = block(z)
        found: Tensor = self.pixels(self.norm(z))
        return found[:, first:]


class MaskedAutoencoder(nn.Module):
    """A vision transformer, and a decoder that predicts the patches which it does not see.

    The encoder sees the visible patches alone, and its class token; codes of places are added before
    patches are left out. Its weights are those of the classifier, whose head has no part in it.

    Args:
        model: a ViT whose stem is "patch", or one with its normalisation, `Normalised(ViT)`.
        decoder: made for it.

    Raises `InputError` for another model.

    Reference: He et al. 2022, arXiv:2111.06377.

    >>> from saddlepoint.zoo.masking import masks
    >>> from saddlepoint.zoo.vit_design import ViTDesign
    >>> net = ViT(ViTDesign(), channels=1, size=28)
    >>> mae, images = MaskedAutoencoder(net, MAEDecoder(net)), torch.rand(2, 1, 28, 28)
    >>> hidden = masks("random", torch.arange(2), (7, 7), 0.75, seed=0)
    >>> mae(images, hidden).shape, mae.reconstruct(images, hidden).shape
    (torch.Size([2, 49, 16]), torch.Size([2, 1, 28, 28]))
    """

    def __init__(self, model: nn.Module, decoder: MAEDecoder) -> None:
        super().__init__()
        vit_of(model)
        self.model, self.decoder = model, decoder

    @property
    def encoder(self) -> ViT:
        """The vision transformer."""
        return vit_of(self.model)

    def forward(
        self, images: Float[Tensor, "n c h w"], mask: Bool[Tensor, "n l"]
    ) -> Float[Tensor, "n l e"]:
        """Return what is predicted of each patch, in the units of the decoder's targets.

        Args:
            images: in [0, 1].
            mask: True where a patch is hidden, equally many in each image.

        Raises `InputError` where they are not, or images or mask are of another size.
        """
        encoder, grid = self.encoder, self.decoder.grid
        if encoder.design.grid((images.shape[2], images.shape[3])) != grid:
            seen, own = tuple(images.shape[2:]), tuple(side * encoder.design.patch for side in grid)
            raise InputError(
                f"images of {seen[0]}×{seen[1]}, but the decoder paints {own[0]}×{own[1]}; resize them"
            )
        if mask.shape != (len(images), grid[0] * grid[1]):
            raise InputError(
                f"the mask is {tuple(mask.shape)}; {len(images)} images have ({len(images)},"
                f" {grid[0] * grid[1]}) patches"
            )
        normalised = bare(self.model)
        if isinstance(normalised, Normalised):
            images = (images - normalised.mean) / normalised.std
        order, kept = order_of(mask)
        x = encoder.embedded(images)
        predicted: Tensor
        if self.decoder.design.mask_tokens == "encoder":
            x = torch.where(mask[:, :, None], self.decoder.encoder_token.to(x.dtype), x)
            predicted = self.decoder(encoder.encoded(x, grid))
        else:
            predicted = self.decoder(encoder.encoded(x, grid, order[:, :kept]), order)
        return predicted

    def targets(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n l e"]:
        """Return what is to be predicted of each patch."""
        patches = patchify(images, self.encoder.design.patch)
        return patches if self.decoder.design.targets == "raw" else normalised_patches(patches)

    def reconstruct(
        self, images: Float[Tensor, "n c h w"], mask: Bool[Tensor, "n l"]
    ) -> Float[Tensor, "n c h w"]:
        """Return images whose hidden patches are predicted, in [0, 1]; visible ones are as they were.

        Normalised targets say nothing of a patch's mean and standard deviation: those of the visible
        patches of its image stand in, their mean over these. For pictures train on raw targets.
        """
        predicted = self(images, mask).to(images.dtype)
        patches = patchify(images, self.encoder.design.patch)
        if self.decoder.design.targets == "normalised":
            mean, std = _moments(patches)
            seen = (~mask).to(patches.dtype)[:, :, None]
            mean, std = ((each * seen).sum(1, True) / seen.sum(1, True) for each in (mean, std))
            predicted = predicted * std + mean
        whole = torch.where(mask[:, :, None], predicted.clamp(0, 1), patches)
        return unpatchify(whole, self.encoder.design.patch, self.decoder.grid)


def vit_of(model: nn.Module) -> ViT:
    """Return the vision transformer of a model that can be an encoder: a ViT, or a `Normalised` one.

    Raises `InputError` for another model, and for a stem whose patches see each other, by which hidden
    pixels would reach the visible ones.

    >>> vit_of(nn.Linear(2, 2))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: masked autoencoding is for a ViT, and this is a Linear; take ...
    """
    inner = bare(model)
    if isinstance(inner, Normalised):
        inner = bare(inner.net)
    if not isinstance(inner, ViT):
        raise InputError(
            f"masked autoencoding is for a ViT, and this is a {type(inner).__name__}; take zoo:vit-micro"
        )
    if not isinstance(inner.embed, PatchStem):
        raise InputError(
            f"a {inner.design.stem} stem lets hidden pixels into visible patches; take stem=patch"
        )
    return inner


def channels_of(encoder: ViT) -> int:
    """Return how many channels the images of a vision transformer have.

    >>> channels_of(ViT(channels=1))
    1
    """
    stem = encoder.embed
    assert isinstance(stem, PatchStem)
    return int(stem.conv.in_channels)


def normalised_patches(patches: Float[Tensor, "n l e"]) -> Float[Tensor, "n l e"]:
    """Return (x − μ)/√(σ² + 1e-6) of each patch, σ² that of all its e numbers, not of a sample.

    >>> normalised_patches(torch.tensor([[[0.0, 1.0], [0.5, 0.5]]])).round(decimals=3)
    tensor([[[-1.,  1.],
             [ 0.,  0.]]])
    """
    mean, std = _moments(patches)
    return (patches - mean) / std


def reconstruction_losses(
    predicted: Float[Tensor, "n l e"], targets: Float[Tensor, "n l e"], mask: Bool[Tensor, "n l"]
) -> Float[Tensor, " n"]:
    """Return the mean squared error of each image over its hidden patches.

    >>> mask = torch.tensor([[True, False]])
    >>> reconstruction_losses(torch.zeros(1, 2, 2), torch.tensor([[[1.0, 3.0], [9.0, 9.0]]]), mask)
    tensor([5.])
    """
    of_patch = (predicted - targets).square().mean(2)
    # Not a product with the mask: what is visible has no part in it, whatever was predicted there.
    hidden = torch.where(mask, of_patch, torch.zeros_like(of_patch))
    return hidden.sum(1) / mask.sum(1)


def sincos(grid: Grid, d: int) -> Float[Tensor, "l d"]:
    """Return the fixed codes of places: sines and cosines of the row, then of the column, a half of the
    features each, at wavelengths from 2π to 2π·10,000.

    Vaswani et al. 2017, arXiv:1706.03762, in each direction.

    >>> sincos((2, 3), 8)[0]
    tensor([0., 0., 1., 1., 0., 0., 1., 1.])
    """
    height, width = grid
    rate = 10_000 ** -(torch.arange(d // 4, dtype=torch.float64) / (d // 4))
    rows, columns = torch.meshgrid(
        *(torch.arange(side, dtype=torch.float64) for side in (height, width)), indexing="ij"
    )
    angles = [place.flatten()[:, None] * rate for place in (rows, columns)]
    return torch.cat([each(a) for a in angles for each in (torch.sin, torch.cos)], 1).float()


def _moments(patches: Float[Tensor, "n l e"]) -> tuple[Tensor, Tensor]:
    mean = patches.mean(2, keepdim=True)
    variance = (patches - mean).square().mean(2, keepdim=True)
    return mean, (variance + VARIANCE_FLOOR).sqrt()
