"""By what the patches of an image are ranked, for an attack that may change few of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.threat import Patches, unit

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


def all_alike(
    batch: Batch, patches: Patches, gradient: Float[Tensor, "m c h w"]
) -> Float[Tensor, "m patches"]:
    """Return ones: with a draw for each, the control that a choice must beat."""
    return torch.ones_like(patches.totals(gradient))


PATCH_RANKS: Mapping[str, PatchRank] = MappingProxyType(
    {"gradient": by_gradient, "gain": by_gain, "random": all_alike}
)
"""The ranks by name."""
