"""The exact optimum of a linear margin over ball ∩ box, by greedy filling and by bisection."""

from __future__ import annotations

import torch
from torch import Tensor


def best_change(w: Tensor, x: Tensor, eps: float | Tensor, norm: str) -> Tensor:
    """The change (n, d) within the budget, or each sample's, and [0, 1] that lowers w·x the most."""
    eps = torch.as_tensor(eps, dtype=x.dtype).reshape(-1, 1)
    down = -w.sign()  # the direction that lowers the margin, and the room in it
    room = torch.where(down > 0, 1 - x, x)
    size = w.abs().expand_as(x)
    if norm == "linf":
        return down * torch.minimum(room, eps)
    if norm == "l1":
        order = size.argsort(dim=1, descending=True)
        room = room.gather(1, order)
        left = (eps - room.cumsum(1) + room).clamp_min(0)
        filled = torch.zeros_like(x).scatter(1, order, torch.minimum(room, left))
        return down * filled
    low, high = torch.zeros(len(x), 1, dtype=x.dtype), torch.full((len(x), 1), 1e12, dtype=x.dtype)
    for _ in range(100):  # δ = clip(t·|w|, 0, room) with ‖δ‖₂ = eps, or all the room
        t = (low + high) / 2
        inside = torch.minimum(t * size, room).norm(dim=1, keepdim=True) <= eps
        low, high = torch.where(inside, t, low), torch.where(inside, high, t)
    return down * torch.minimum(low * size, room)


def least_distance(w: Tensor, x: Tensor, bias: float, norm: str) -> Tensor:
    """The least budgets at which w·x + bias falls to 0 in [0, 1], by bisection; those of images
    that cannot be fooled are the number of features.
    """
    low = torch.zeros(len(x), dtype=x.dtype)
    high = torch.full_like(low, float(x.shape[1]))
    for _ in range(60):
        middle = (low + high) / 2
        fooled = (x + best_change(w, x, middle, norm)) @ w + bias <= 0
        low, high = torch.where(fooled, low, middle), torch.where(fooled, middle, high)
    return high


def case(
    d: int, eps: float, norm: str, seed: int = 0, count: int = 20, near_bounds: bool = False
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Weights, images (n, d), the clean margins and the least margins, with w·x alone."""
    generator = torch.Generator().manual_seed(seed)
    w = torch.randn(d, generator=generator, dtype=torch.float64)
    x = torch.rand(count, d, generator=generator, dtype=torch.float64)
    if near_bounds:
        x = (1.6 * x - 0.3).clamp(0, 1)
    clean = x @ w
    least = (x + best_change(w, x, eps, norm)) @ w
    return w, x, clean, least
