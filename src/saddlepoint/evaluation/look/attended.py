"""What a ViT or a Swin transformer looks at in images: its attention, and what is made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from saddlepoint.errors import InputError
from saddlepoint.model import Guard
from saddlepoint.model.wrapped import uncompiled
from saddlepoint.zoo import (
    Swin,
    ViT,
    attention_distance,
    attention_divergence,
    attention_on,
    changed_patches,
    record_attention,
    rollout,
)
from saddlepoint.zoo.swin_block import SwinBlock
from saddlepoint.zoo.tables import Grid
from saddlepoint.zoo.windows import Cut


@dataclass(frozen=True, eq=False)
class ViTAttention:
    """The attention of a ViT in some images.

    Attributes:
        layers: of each layer, (n, h, t, t), by its name.
        inputs: the images as the network gets them, normalised and resized.
        grid: how many patches they have in each direction.
        patch: the side of one.
        classed: whether the first token is a class token.

    >>> even = torch.full((1, 2, 5, 5), 0.2)
    >>> seen = ViTAttention({"0": even}, torch.zeros(1, 1, 4, 4), (2, 2), 2, classed=True)
    >>> seen.maps["0"], seen.distances["0"].shape
    (tensor([[[0.2500, 0.2500],
             [0.2500, 0.2500]]]), torch.Size([2]))
    """

    layers: Mapping[str, Float[Tensor, "n h t t"]]
    inputs: Float[Tensor, "n c h w"]
    grid: Grid
    patch: int
    classed: bool

    @property
    def maps(self) -> dict[str, Float[Tensor, "n i j"]]:
        """What each patch gets of the class token's attention, averaged over the heads, as shares
        that sum to 1; without a class token of the attention of all patches.
        """
        found = {}
        for name, attention in self.layers.items():
            mean = attention.mean(1)
            row = mean[:, 0, 1:] if self.classed else mean.mean(1)
            found[name] = torch.unflatten(row / row.sum(-1, keepdim=True), 1, self.grid)
        return found

    @property
    def distances(self) -> dict[str, Float[Tensor, " h"]]:
        """How far each head looks, in pixels of the input, averaged over the images; without the class
        token, what is left sums to 1 again.
        """
        return {
            name: attention_distance(attention, self.grid, self.patch).mean(0)
            for name, attention in self.layers.items()
        }

    @property
    def rollout(self) -> Float[Tensor, "n i j"]:
        """How much of each patch is in what the head is given, as shares that sum to 1."""
        joint = rollout(list(self.layers.values()))
        row = joint[:, 0, 1:] if self.classed else joint.mean(1)
        return torch.unflatten(row / row.sum(-1, keepdim=True), 1, self.grid)

    def divergence(self, after: ViTAttention) -> dict[str, Float[Tensor, " n"]]:
        """Return how far attention has moved in each image, by layer, in bits: the Jensen-Shannon
        divergence, averaged over heads and tokens.
        """
        return {
            name: attention_divergence(attention, after.layers[name]).mean((1, 2))
            for name, attention in self.layers.items()
        }

    def changed(self, after: ViTAttention) -> Bool[Tensor, "n p"]:
        """Return which patches of the input differ."""
        return changed_patches(after.inputs - self.inputs, self.patch)

    def share_on(self, patches: Bool[Tensor, "n p"]) -> dict[str, Float[Tensor, " n"]]:
        """Return the share of the class token's attention on some patches, by layer, averaged over the
        heads; nothing where there is no class token.
        """
        if not self.classed:
            return {}
        return {
            name: attention_on(attention, patches).mean(1)
            for name, attention in self.layers.items()
        }


@dataclass(frozen=True, eq=False)
class SwinAttention:
    """The attention of a Swin transformer in some images.

    Attributes:
        layers: of each layer, (n, windows, h, t, t), by its name.
        cuts: how each cuts its map into windows.

    >>> from saddlepoint.zoo.windows import Windows
    >>> even, cut = torch.full((1, 4, 3, 4, 4), 0.25), Windows(2).on((4, 4))
    >>> SwinAttention({"0": even}, {"0": cut}).maps["0"].unique()
    tensor([1.])
    """

    layers: Mapping[str, Float[Tensor, "n windows h t t"]]
    cuts: Mapping[str, Cut]

    @property
    def maps(self) -> dict[str, Float[Tensor, "n i j"]]:
        """How much each token is looked at by those of its window, averaged over the heads: 1 where
        attention is even; the sum is the number of tokens.
        """
        return {
            name: self.cuts[name].joined(attention.mean(2).sum(-2)[..., None])[..., 0]
            for name, attention in self.layers.items()
        }

    def divergence(self, after: SwinAttention) -> dict[str, Float[Tensor, " n"]]:
        """Return how far attention has moved in each image, by layer, in bits; without padding."""
        found = {}
        for name, attention in self.layers.items():
            tokens = torch.ones(1, *self.cuts[name].sides, 1)
            inside = self.cuts[name].windows(tokens)[..., 0]  # 0 where a window is padded
            bits = attention_divergence(attention, after.layers[name]).mean(2)
            found[name] = (bits * inside).sum((1, 2)) / inside.sum()
        return found


def attention_of(
    model: nn.Module, images: Float[Tensor, "n c h w"]
) -> ViTAttention | SwinAttention:
    """Return the attention of the ViT or Swin transformer of this package inside a model.

    A model that is random at inference draws the same numbers in every call.

    Raises `InputError` for a model without one, and where it is not run on one input per image.

    >>> from saddlepoint.zoo import build_model
    >>> net = build_model("vit-micro", classes=10, shape=(3, 32, 32))
    >>> attention_of(net, torch.rand(2, 3, 32, 32)).rollout.sum((1, 2)).allclose(torch.ones(2))
    True
    """
    networks = [each for each in model.modules() if isinstance(each, ViT | Swin)]
    if not networks:
        raise InputError(
            "no attention maps: there is no ViT or Swin of this package inside (zoo:vit-…, zoo:swin-…),"
            " and the attention of others is not recorded"
        )
    network = networks[0]
    given: list[Tensor] = []
    hook = network.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0].detach()))
    try:
        with (
            uncompiled(model),
            Guard(model, len(images)) as guard,
            record_attention(network) as maps,
        ):
            guard.logits(images.to(guard.device))
    finally:
        hook.remove()
    if len(given) != 1 or len(given[0]) != len(images):
        raise InputError(
            f"no attention maps: the network runs on {sum(map(len, given))} inputs for"
            f" {len(images)} images"
        )
    layers = {name: attention.float().cpu() for name, attention in maps.items()}
    inputs = given[0].float().cpu()
    if isinstance(network, ViT):
        grid = network.design.grid((inputs.shape[2], inputs.shape[3]))
        classed = network.class_token is not None
        return ViTAttention(layers, inputs, grid, network.design.patch, classed)
    return SwinAttention(layers, _cuts(network, layers, inputs))


def _cuts(network: Swin, layers: Mapping[str, Any], inputs: Tensor) -> dict[str, Cut]:
    """Return how each layer cuts its map of inputs of this size, which need not be the built one."""
    patch = network.design.patch
    sides = (-(-inputs.shape[2] // patch), -(-inputs.shape[3] // patch))
    found = {}
    for number, stage in enumerate(network.stages):
        if number:
            sides = (-(-sides[0] // 2), -(-sides[1] // 2))
        for place, block in enumerate(cast("Any", stage).blocks):
            name = f"stages.{number}.blocks.{place}.attention"
            if name in layers and isinstance(block, SwinBlock):
                found[name] = block.windows.on(sides)
    return found
