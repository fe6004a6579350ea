"""The maps that the first convolutional blocks of a network make of images."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.model import Guard
from saddlepoint.model.wrapped import plain_modules, uncompiled

BLOCKS = 3
_PLAIN = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass(frozen=True, eq=False)
class FeatureMaps:
    """What the first blocks give.

    Attributes:
        blocks: their maps of the images, by the blocks' names, in the order of the pass.

    >>> FeatureMaps({"stem": torch.tensor([[[[0.0]], [[1.0]]], [[[1.0]], [[1.0]]]])}).chosen(1)
    {'stem': [0]}
    """

    blocks: Mapping[str, Float[Tensor, "n c h w"]]

    def chosen(self, count: int) -> dict[str, list[int]]:
        """Return the channels of each block that vary most over images and places, in their order."""
        found = {}
        for name, maps in self.blocks.items():
            spread = maps.transpose(0, 1).flatten(1).std(1, correction=0)
            first = torch.argsort(spread, descending=True, stable=True)[:count]
            found[name] = sorted(first.tolist())
        return found


def feature_maps(
    model: nn.Module, images: Float[Tensor, "n c h w"], count: int = BLOCKS
) -> FeatureMaps | None:
    """Return the maps of the first `count` blocks; None where no convolution gives any.

    A block is a module, but no plain container, with two convolutions or more and no such module
    inside; where there is none, one with a convolution; where there is none, a convolution.

    >>> from saddlepoint.zoo import build_model
    >>> net = build_model("resnet20", classes=10, shape=(1, 8, 8))
    >>> list(feature_maps(net, torch.rand(2, 1, 8, 8)).blocks)
    ['stage1.0', 'stage1.1', 'stage1.2']
    """
    for least in (2, 1, 0):
        found = _maps_of(_blocks(model, least), model, images, count)
        if found:
            return FeatureMaps(found)
    return None


def _blocks(model: nn.Module, least: int) -> dict[str, nn.Module]:
    """Return the innermost modules with so many convolutions below; with 0 the convolutions."""
    named = {"": model, **plain_modules(model)}
    named = {
        name: part for name, part in named.items() if not isinstance(part, torch.jit.ScriptModule)
    }
    if not least:
        return {name: part for name, part in named.items() if isinstance(part, nn.Conv2d)}
    several = {
        name: part
        for name, part in named.items()
        if type(part) not in _PLAIN and _convolutions(part) >= least
    }
    known = set(several.values())
    return {
        name: part
        for name, part in several.items()
        if not any(inner is not part and inner in known for inner in part.modules())
    }


def _convolutions(module: nn.Module) -> int:
    return sum(isinstance(each, nn.Conv2d) for each in module.modules() if each is not module)


def _maps_of(
    blocks: Mapping[str, nn.Module], model: nn.Module, images: Tensor, count: int
) -> dict[str, Tensor]:
    if not blocks:
        return {}
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            ours = isinstance(output, Tensor) and output.ndim == 4 and len(output) == len(images)
            if ours and len(found) < count:
                found.setdefault(name, output.detach().float().cpu().clone())

        return hook

    with contextlib.ExitStack() as stack:
        for name, part in blocks.items():
            stack.callback(part.register_forward_hook(keep(name)).remove)
        stack.enter_context(uncompiled(model))
        guard = stack.enter_context(Guard(model, len(images)))
        guard.logits(images.to(guard.device))
    return found
