"""What the loops of PGD's kind share: the start, the step x ← Π(x + α·d), and α."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.threat import norm_of
from saddlepoint.threat.norms import expand

Start = Literal["uniform", "gaussian", "clean"]
_OUTWARD = 1e4  # so far, projecting ends at a vertex of the ball


def start_of(
    batch: Batch, start: Start, restart: int, corner: bool = False
) -> Float[Tensor, "m ..."]:
    """Return x_0: the given `starts` for the first restart, else a draw or the clean image.

    With `corner` the draw is moved to a vertex of the ball in Linf: what fools only there is out of
    sight from within. Attacks ask for it in every second restart.
    """
    clean = batch.threat.parametrise(batch.images)
    if batch.starts is not None and restart == 0:
        return batch.project(batch.threat.parametrise(batch.starts))
    if start == "clean":
        return clean
    drawn = batch.random_start(restart=restart, gaussian=start == "gaussian")
    if start == "gaussian":  # that of the nine-defences report is not projected; every other one is
        return drawn
    if corner and norm_of(batch.threat) == "Linf":
        drawn = clean + _OUTWARD * (drawn - clean)
    return batch.project(drawn)


def ascend(
    batch: Batch,
    x: Float[Tensor, "m ..."],
    gradient: Float[Tensor, "m ..."],
    alpha: Tensor,
    k: int,
) -> Float[Tensor, "m ..."]:
    """Return Π(x + α·d), α (m,) and d the steepest direction; in L1 `k` coordinates share a step."""
    d = batch.ascendable.steepest_direction(gradient, x, k, alpha)
    return batch.project(x + expand(alpha, x) * d)


def step_length(batch: Batch, step_size: float | None, relative: float) -> Float[Tensor, " m"]:
    """Return each sample's α: `step_size`, or where that is None `relative` times its budget."""
    radius = batch.threat.radius(batch.images)
    return torch.full_like(radius, step_size) if step_size is not None else relative * radius


def cosine(step: int, steps: int) -> float:
    """Return the factor that decays from 1 to almost 0 over `steps` along half a cosine.

    >>> cosine(0, 10), round(cosine(5, 10), 3)
    (1.0, 0.5)
    """
    return (1 + math.cos(math.pi * step / steps)) / 2
