"""The decision boundaries of a model near an iterate, linearised; and which classes they are of."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.geometry.boundaries import Boundaries


def rivals(batch: Batch, logits: Float[Tensor, "m K"], count: int) -> Int64[Tensor, "m k"] | None:
    """Return the `count` highest live classes that may be aimed at, or all if there are fewer.

    A sample with fewer live classes than the others of its call has the same ones again. None for
    a criterion that is not `Aimed`: its margin is the only boundary.
    """
    if batch.aimed is None:
        return None
    aims = batch.aims(logits)
    live = batch.live(logits) & aims
    others = logits.masked_fill(~aims, -math.inf).nan_to_num(nan=-math.inf)
    # Sorted, so that a tie goes to the lower class in every batch.
    order = others.argsort(dim=1, descending=True, stable=True)
    order = order[aims.gather(1, order)].reshape(len(order), -1)
    held = batch.aimed.holders
    most = order.shape[1] if batch.reference is None else max(batch.reference.most - held, 1)
    ranks = torch.arange(min(count, most), device=order.device)
    return order.gather(1, ranks % live.sum(1, keepdim=True).clamp_min(1))


def linearise(
    batch: Batch,
    x: Float[Tensor, "m ..."],
    count: int,
    classes: Int64[Tensor, "m k"] | Callable[[Tensor], Tensor] | None = None,
    rounding: Float[Tensor, " m"] | None = None,
) -> Boundaries:
    """Return the linearised boundaries at `x`: a forward pass and a backward pass for each.

    Args:
        batch: the samples.
        x: (m, …) parameters.
        count: how many classes, the highest first.
        classes: (m, k) these classes instead, or a function that chooses them by the logits (m, K).
        rounding: (m,) that of the logits elsewhere, at least: that of a model with one logit
            vanishes on its boundary, which steps in proportion to it would never cross.
    """
    chosen: list[Tensor | None] = [None]

    def cotangents(logits: Tensor) -> Tensor:
        if callable(classes):
            chosen[0] = classes(logits)
        else:
            chosen[0] = rivals(batch, logits, count) if classes is None else classes
        if chosen[0] is None:
            return batch.margin_slopes(logits)[:, None]
        width = logits.shape[1]
        own = torch.nn.functional.one_hot(batch.holder(logits), width)[:, None]
        return (own - torch.nn.functional.one_hot(chosen[0], width)).to(logits.dtype)

    logits, normals = batch.jacobian(x, cotangents)
    if chosen[0] is None:
        margins = batch.margin(logits)[:, None]
    else:
        own = logits.gather(1, batch.holder(logits)[:, None])
        margins = own - logits.gather(1, chosen[0])
    least = batch.rounding(logits).nan_to_num().to(x.dtype)
    least = least if rounding is None else torch.maximum(least, rounding)
    return Boundaries(x, logits, chosen[0], margins.to(x.dtype), normals, least)
