"""The exact optimum of a linear margin over ball ∩ box, by greedy filling and by bisection."""

from __future__ import annotations

import torch
from networks import Affine
from torch import Tensor

from saddlepoint.attacks import Attack
from saddlepoint.threat import L1, L2, Linf

BALLS = {"linf": Linf, "l2": L2, "l1": L1}
CASES = [
    ("linf", 12, 0.1, False), ("linf", 12, 0.3, True),
    ("l2", 12, 0.2, False), ("l2", 12, 1.0, True), ("l2", 192, 2.0, True),
    ("l1", 12, 0.2, False), ("l1", 12, 2.0, True), ("l1", 192, 12.0, True),
]  # fmt: skip


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


def l2_case(dtype=torch.float64):
    """A network, eight images with the box in the way, and their least distances in L2."""
    generator = torch.Generator().manual_seed(3)
    w = torch.randn(12, generator=generator, dtype=torch.float64)
    x = (1.6 * torch.rand(8, 12, generator=generator, dtype=torch.float64) - 0.3).clamp(0, 1)
    bias = float(0.7 - (x @ w).min())
    return Affine(w, bias).to(dtype), x.to(dtype), least_distance(w, x, bias, "l2")


def share_of_optimum(attack: Attack, norm: str, d: int, eps: float, near: bool, targeted=False):
    """How much of the possible loss of margin the attack attains, per image: 1 is all."""
    w, x, clean, least = case(d, eps, norm, near_bounds=near)
    net = Affine(w, float(1 - least.min()))  # the least margin of all is 1: every image stays right
    labels = torch.zeros(len(x), dtype=torch.int64)
    result = attack(net, x, labels, labels + 1 if targeted else None)
    assert not bool(result.success.any()), "nothing may succeed"
    assert not bool(result.rejected.any())
    reached = result.adversarials @ w
    return (clean - reached) / (clean - least)


def assert_optimal(share: torch.Tensor, tolerance: float = 1e-3) -> None:
    assert float(share.min()) >= 1 - tolerance
    assert float(share.max()) <= 1 + 1e-5, "better than the optimum: outside the ball"
