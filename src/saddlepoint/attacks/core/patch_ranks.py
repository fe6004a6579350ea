"""By what the patches of an image are ranked, for an attack that may change few of them."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.errors import InputError
from saddlepoint.threat import Patches, unit
from saddlepoint.zoo.attention import Attention
from saddlepoint.zoo.attention_record import record_attention

PatchRank = Callable[[Batch, Patches, Float[Tensor, "m c h w"]], Float[Tensor, "m patches"]]
"""From the samples, their patches and the gradient of the loss to what each patch is worth, at least
0."""


def by_gradient(
    batch: Batch, patches: Patches, gradient: Float[Tensor, "m c h w"]
) -> Float[Tensor, "m patches"]:
    """Return the length of each patch's part of the gradient, whose own length is 1."""
    return patches.totals(unit(gradient, 2).square()).sqrt()


def by_gain(
    batch: Batch, patches: Patches, gradient: Float[Tensor, "m c h w"]
) -> Float[Tensor, "m patches"]:
    """Return by how much the linearised loss rises where every pixel of a patch goes from its clean
    value to the better end of its range: Σ max(g·(low − x), g·(high − x)), g of length 1.
    """
    g, x = unit(gradient, 2), batch.clean
    low, high = patches.pixel_bounds(x)
    return patches.totals(torch.maximum(g * (low - x), g * (high - x)))


def by_attention(
    batch: Batch, patches: Patches, gradient: Float[Tensor, "m c h w"]
) -> Float[Tensor, "m patches"]:
    """Return the attention on each patch at the clean images, a forward pass more: that of the class
    token, or of all tokens where there is none, the mean over heads and layers.

    Raises `InputError` for a model without attention of this package, and for that of windows.
    """
    x = batch.clean
    calls: list[nn.Module] = []
    layers_there = [m for m in batch.guard.model.modules() if isinstance(m, Attention)]
    with record_attention(batch.guard.model) as maps, contextlib.ExitStack() as stack:
        for layer in layers_there:
            handle = layer.register_forward_hook(lambda module, *_: calls.append(module))
            stack.callback(handle.remove)
        batch.logits(x)
    if len(calls) != len(maps):  # ten crops, an ensemble: the record has the last view alone
        raise InputError(
            "the network looks at an image several times a pass; choose the patches by gain or gradient"
        )
    layers = [each for each in maps.values() if each.ndim == 4 and len(each) == len(x)]
    tokens = {each.shape[-1] for each in layers}
    grid = _grid(tokens.pop(), x.shape[2], x.shape[3]) if len(tokens) == 1 else None
    if len(layers) < len(maps) or grid is None:
        raise InputError(
            "the attention of windows is of no whole image; choose the patches by gain or gradient"
        )
    classed, rows, columns = grid
    readers = slice(0, 1) if classed else slice(None)
    share = torch.stack([each[:, :, readers, classed:].mean((1, 2)) for each in layers]).mean(0)
    of_pixels = interpolate(share.reshape(len(x), 1, rows, columns), x.shape[2:])
    return patches.totals(of_pixels.expand_as(x))


def _grid(tokens: int, height: int, width: int) -> tuple[int, int, int] | None:
    """Return whether a class token comes first, as 1 or 0, and the rows and columns of the patches."""
    for classed in (1, 0):
        rows = round(math.sqrt((tokens - classed) * height / width))
        columns = (tokens - classed) // max(rows, 1)
        if rows * columns == tokens - classed > 0 and rows * width == columns * height:
            return classed, rows, columns
    return None


def all_alike(
    batch: Batch, patches: Patches, gradient: Float[Tensor, "m c h w"]
) -> Float[Tensor, "m patches"]:
    """Return ones: with a draw for each, the control that a choice must beat."""
    return torch.ones_like(patches.totals(gradient))


PATCH_RANKS: Mapping[str, PatchRank] = MappingProxyType(
    {"gradient": by_gradient, "gain": by_gain, "attention": by_attention, "random": all_alike}
)
"""The ranks by name."""
