"""What the nearest fooling point is: on a linear margin by closed form, in the plane by a grid."""

from __future__ import annotations

import functools

import torch
from linear import case, least_distance
from networks import Affine, mlp
from torch import Tensor

from saddlepoint.attacks import Attack

# Seeds of networks with two classes or more in the plane, and gradients that lead from one to the
# other: of 6, 8 and 11 another class is in corners alone, where few clean gradients point.
CURVED = (0, 1, 7, 10)


@functools.cache
def linear_case(d: int, norm: str, near_bounds: bool) -> tuple[Affine, Tensor, Tensor]:
    """A network, images that it holds and that can be fooled, and their least distances."""
    w, x, clean, least = case(d, float(d), "linf", near_bounds=near_bounds)
    bias = float(-(clean + least).max() / 2)
    x = x[(clean + bias > 0.01) & (least + bias < -0.01)]
    assert len(x) >= 5
    if norm == "l0":
        return Affine(w, bias), x, fewest(w, x, bias)
    return Affine(w, bias), x, least_distance(w, x, bias, norm)


def fewest(w: Tensor, x: Tensor, bias: float, channels: int = 1) -> Tensor:
    """How many features (or pixels of `channels`) must change: those of the largest |w|·room."""
    part = w.abs() * torch.where(w > 0, x, 1 - x)
    part = part.reshape(len(x), channels, -1).sum(1).sort(dim=1, descending=True).values
    left = (x @ w + bias)[:, None] - part.cumsum(1)
    return (left >= 0).sum(1).double() + 1


def ratio(attack: Attack, d: int, norm: str, near_bounds: bool, targeted: bool = False) -> Tensor:
    """The distances found as multiples of the least ones."""
    net, x, least = linear_case(d, norm, near_bounds)
    labels = torch.zeros(len(x), dtype=torch.int64)
    result = attack(net, x, labels, labels + 1 if targeted else None)
    assert not bool(result.rejected.any())
    assert bool(result.success.all())
    return result.distance / least


@functools.cache
def _plane(seed: int, steps: int = 401) -> tuple[Tensor, Tensor]:
    line = torch.linspace(0, 1, steps, dtype=torch.float64)
    points = torch.cartesian_prod(line, line)
    with torch.no_grad():
        return points, mlp(2, seed=seed, gain=6.0)(points).argmax(1)


@functools.cache
def plane_case(seed: int, p: float) -> tuple[torch.nn.Module, Tensor, Tensor, Tensor]:
    """A curved network of the plane, points, its predictions, and the distances to the nearest
    point of another class on a grid of 1/400 (so up to 1/400 too large).
    """
    points, classes = _plane(seed)
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(12, 2, generator=generator, dtype=torch.float64)
    net = mlp(2, seed=seed, gain=6.0)
    labels = net(x).argmax(1)
    nearest = torch.stack(
        [
            torch.linalg.vector_norm(points[classes != label] - a, ord=p, dim=1).min()
            for a, label in zip(x, labels, strict=True)
        ]
    )
    wide = nearest > 0.05  # where the grid is fine enough
    assert bool(wide.any())
    assert bool(nearest.isfinite().all())
    return net, x[wide], labels[wide], nearest[wide]
