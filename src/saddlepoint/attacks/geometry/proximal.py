"""Proximal maps: argmin over z of λ·penalty(z) + ½·Σ h·(z − δ)², λ per sample, h > 0 per entry.

Also EAD's, with the box inside.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.threat.norms import expand, norm

# Without a look at the values (CUDA: no wait for the host) Newton's steps stop here.
_BLIND_STEPS = 24


def soft_threshold(
    delta: Float[Tensor, "n ..."], weight: Float[Tensor, " n"], metric: Float[Tensor, "n ..."]
) -> Float[Tensor, "n ..."]:
    """Return the proximal map of λ·‖z‖₁: every entry nearer to 0 by λ/h.

    >>> delta = torch.tensor([[0.5, -0.1]])
    >>> soft_threshold(delta, torch.tensor([0.2]), torch.ones_like(delta))
    tensor([[0.3000, -0.0000]])
    """
    return delta.sign() * (delta.abs() - expand(weight, delta) / metric).clamp_min(0)


def shrink(
    delta: Float[Tensor, "n ..."], weight: Float[Tensor, " n"], metric: Float[Tensor, "n ..."]
) -> Float[Tensor, "n ..."]:
    """Return the proximal map of λ·‖z‖₂: with h = 1 the whole vector shorter by λ.

    z = s·h·δ/(s·h + λ) where the length s solves Σ (h·δ)²/(s·h + λ)² = 1. With φ(s) the root of
    that sum, 1/φ is concave in s, so that Newton's steps on 1/φ = 1 from s = 0 are few.

    >>> delta = torch.tensor([[3.0, 4.0]])
    >>> shrink(delta, torch.tensor([1.0]), torch.ones_like(delta))
    tensor([[2.4000, 3.2000]])
    """
    largest = metric.flatten(1).amax(1)
    h = metric.flatten(1) / largest[:, None]
    cut = (weight / largest)[:, None]
    force = h * delta.flatten(1)
    length = torch.zeros_like(cut)
    steps = _BLIND_STEPS if delta.is_cuda else 100
    inside = norm(force, 2)[:, None] <= cut
    for _ in range(steps):
        reach = (length * h + cut).clamp_min(torch.finfo(delta.dtype).tiny)
        share = (force / reach).square()
        total = share.sum(1, keepdim=True)
        slope = (share * h / reach).sum(1, keepdim=True)
        further = length + total * (total.sqrt() - 1) / slope.clamp_min(
            torch.finfo(delta.dtype).tiny
        )
        rises = ~inside & (further > length * (1 + 4 * torch.finfo(delta.dtype).eps))
        if not delta.is_cuda and not bool(rises.any()):
            break
        length = torch.where(rises, further, length)
    point = length * force / (length * h + cut).clamp_min(torch.finfo(delta.dtype).tiny)
    return torch.where(inside, 0.0, point).reshape(delta.shape)


def clip_largest(
    delta: Float[Tensor, "n ..."], weight: Float[Tensor, " n"], metric: Float[Tensor, "n ..."]
) -> Float[Tensor, "n ..."]:
    """Return the proximal map of λ·‖z‖∞: the largest entries cut to one level.

    The level τ solves Σ h·(|δ| − τ)⁺ = λ; the sum is convex in τ, so Newton's steps from below rise
    to the root and end after finitely many.

    >>> delta = torch.tensor([[1.0, -0.9, 0.1]])
    >>> clip_largest(delta, torch.tensor([0.5]), torch.ones_like(delta))
    tensor([[ 0.7000, -0.7000,  0.1000]])
    """
    size, h = delta.flatten(1).abs(), metric.flatten(1)
    level = (size - weight[:, None] / h).amax(1).clamp_min(0)  # no entry alone is cut by more
    steps = _BLIND_STEPS if delta.is_cuda else size.shape[1] + 1
    for _ in range(steps):
        above = torch.where(size > level[:, None], h, 0.0)
        total = above.sum(1)
        raised = ((above * size).sum(1) - weight) / torch.where(total > 0, total, 1.0)
        rises = raised > level * (1 + 2 * torch.finfo(delta.dtype).eps)
        if not delta.is_cuda and not bool(rises.any()):
            break
        level = torch.where(rises, raised, level)
    level = expand(level, delta)
    return delta.clamp(-level, level)


def two_thirds(
    delta: Float[Tensor, "n ..."], weight: Float[Tensor, " n"], metric: Float[Tensor, "n ..."]
) -> Float[Tensor, "n ..."]:
    """Return the proximal map of λ·Σ|z|^⅔, the stand-in for the number of changed features.

    With t = |z|^⅓ a stationary point solves t⁴ − |δ|·t + ⅔λ/h = 0; its largest root is the minimiser
    where |δ| ≥ 2·(⅔λ/h)^¾, else it is 0. The quartic is convex and positive at |δ|^⅓, so that
    Newton's steps fall to that root.

    >>> delta = torch.tensor([[1.0, 0.2]])
    >>> two_thirds(delta, torch.tensor([0.1]), torch.ones_like(delta))
    tensor([[0.9317, 0.0000]])
    """
    size = delta.abs()
    constant = 2 / 3 * expand(weight, delta) / metric
    kept = size > 2 * constant**0.75
    t = size ** (1 / 3)
    for _ in range(6):
        slope = 4 * t**3 - size
        t = t - torch.where(kept, t**4 - size * t + constant, 0.0) / torch.where(kept, slope, 1.0)
    return torch.where(kept, delta.sign() * t**3, 0.0)


def shrunk_into_box(
    z: Float[Tensor, "n ..."],
    clean: Float[Tensor, "n ..."],
    weight: float,
    low: Float[Tensor, "n ..."],
    high: Float[Tensor, "n ..."],
) -> Float[Tensor, "n ..."]:
    """Return S_β(z) of EAD: a soft threshold of z − clean, clipped to the box; the images
    themselves, not their change.

    Entries within β of the clean image become it exactly.

    >>> x, zero = torch.tensor([[0.5, 0.5, 0.9]]), torch.zeros(1, 3)
    >>> shrunk_into_box(torch.tensor([[0.55, 0.3, 1.3]]), x, 0.1, zero, zero + 1)
    tensor([[0.5000, 0.4000, 1.0000]])
    """
    change = z - clean
    inner = change.clamp(-weight, weight)
    # Where the threshold takes all, z − (z − clean) would round: the clean value, to the bit.
    return torch.where(change == inner, clean, z - inner).clamp(low, high)
