"""Pieces that several first-order loops share: where they start and how far they step."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.errors import InputError
from saddlepoint.threat import Ascendable, norm_of
from saddlepoint.threat.norms import expand

Start = Literal["uniform", "gaussian", "clean"]
_OUTWARD = 1e4


def start_of(
    batch: Batch, start: Start, restart: int, corner: bool = False
) -> Float[Tensor, "m ..."]:
    """Return the first iterate: the given `starts` for the first restart, else a draw or the image.

    With `corner` the draw is moved to a corner of the ball in Linf: a pocket there is out of sight
    from within. Attacks ask for it in every second restart.
    """
    clean = batch.threat.parametrise(batch.images)
    if batch.starts is not None and restart == 0:
        return batch.project(batch.threat.parametrise(batch.starts))
    if start == "clean":
        return clean
    threat = ascendable(batch)
    drawn = threat.random_start(
        batch.images, batch.keys, restart=restart, gaussian=start == "gaussian"
    )
    if start == "gaussian":  # that of the nine-defences report is not projected; every other one is
        return batch.masked(drawn)
    if corner and norm_of(threat) == "Linf":
        drawn = clean + _OUTWARD * (drawn - clean)
    return batch.project(drawn)


def ascendable(batch: Batch) -> Ascendable:
    """Return the batch's threat model, or explain that it has no steepest step."""
    if not isinstance(batch.threat, Ascendable):
        raise InputError(f"{batch.threat} has no steepest step; use a gradient-free attack")
    return batch.threat


def ascend(
    batch: Batch,
    x: Float[Tensor, "m ..."],
    gradient: Float[Tensor, "m ..."],
    length: Tensor,
    k: int,
) -> Float[Tensor, "m ..."]:
    """Return the projection of `x` moved by `length` (m,) along the steepest step."""
    step = ascendable(batch).steepest_direction(gradient, x, k, length)
    return batch.project(x + expand(length, x) * step)


def step_length(batch: Batch, step_size: float | None, relative: float) -> Float[Tensor, " m"]:
    """Return each sample's step: `step_size`, or `relative` times its budget."""
    radius = batch.threat.radius(batch.images)
    return torch.full_like(radius, step_size) if step_size is not None else relative * radius


def cosine(step: int, steps: int) -> float:
    """Return the factor that falls from 1 to almost 0 over `steps` along half a cosine.

    >>> cosine(0, 10), round(cosine(5, 10), 3)
    (1.0, 0.5)
    """
    return (1 + math.cos(math.pi * step / steps)) / 2
