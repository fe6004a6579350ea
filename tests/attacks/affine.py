"""Affine networks of several classes, whose nearest boundary is a projection away."""

from __future__ import annotations

import math

import torch
from networks import Affine

from saddlepoint.attacks.geometry.half_spaces import project_halfspace
from saddlepoint.threat.norms import norm


def affine(classes, d=20, dtype=torch.float64, count=30, seed=1, clamp=True):
    """An affine model and images of which many pixels lie on a bound."""
    g = torch.Generator().manual_seed(seed)
    weight = torch.randn(classes, d, generator=g, dtype=torch.float64)
    bias = (
        3 * torch.randn(classes, generator=g, dtype=torch.float64)
        if classes > 2
        else torch.zeros(2)
    )
    x = torch.rand(count, d, generator=g, dtype=torch.float64)
    x = (1.6 * x - 0.3).clamp(0, 1) if clamp else x
    net = Affine(weight, bias).to(dtype)
    return net, x.to(dtype), net(x.to(dtype)).argmax(1)


def optimum(net, x, y, p, lower=0.0, upper=1.0):
    """The least distance at which some other class of an affine model ties with the label."""
    w, b, x = net.weight.detach().double(), net.bias.detach().double(), x.double()
    low, high = torch.full_like(x, lower), torch.full_like(x, upper)
    least = torch.full((len(x),), math.inf, dtype=torch.float64)
    for k in range(len(w)):
        normal, offset = w[y] - w[k], b[k] - b[y]
        z = project_halfspace(x, normal, offset, low, high, p)
        reached = ((normal * z).sum(1) <= offset + 1e-9) & (y != k)
        least = torch.minimum(least, torch.where(reached, norm(z - x, p), math.inf))
    return least
