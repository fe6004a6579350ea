"""Nearest points in a ball intersected with a box, per sample.

All functions work on perturbations `delta` (n, d) with bounds `low ≤ 0 ≤ high` of the same shape
and return the *nearest* feasible perturbation in Euclidean distance, which clipping after a
projection on the ball alone would not give.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from saddlepoint.threat.norms import largest_k, norm

# Without a look at the values (CUDA: no wait for the host) the Newton steps below stop here; four
# or five are usual.
_BLIND_STEPS = 24
# L1: the share of the budget that the sum may miss, and how far beyond their bounds sizes may be
# before they take its digits.
_EXACT, _FAR = 1e-13, 1e5
_CACHED = 2**16


def project_l2(
    delta: Float[Tensor, "n d"],
    low: Float[Tensor, "n d"],
    high: Float[Tensor, "n d"],
    eps: Float64[Tensor, " n"],
    slack: float = 1.0,
) -> Float[Tensor, "n d"]:
    """Return the nearest point of {‖p‖₂ ≤ eps, low ≤ p ≤ high}; of norm eps·slack at most, clipped
    `delta` is left alone.

    The optimality conditions give p = clip(s·delta, low, high) with s in (0, 1]. Between two
    saturations ‖p‖² is linear in s², and concave over all, so Newton's steps from the unclipped
    solution rise to the root and end after finitely many.

    >>> box = torch.tensor([[1.0, 1.0]])
    >>> one = torch.ones(1).double()
    >>> project_l2(torch.tensor([[3.0, 1.0]]), -0.6 * box, 0.6 * box, one)
    tensor([[0.6000, 0.6000]])
    >>> project_l2(torch.tensor([[3.0, 4.0]]), -box, box, one)
    tensor([[0.6000, 0.8000]])
    """
    clipped = delta.clamp(low, high)
    outside = norm(clipped.double(), 2) > eps * slack
    limit, eps = eps, eps.to(delta.dtype)
    largest = norm(delta, float("inf"))
    direction = delta / torch.where(largest > 0, largest, 1.0)[:, None]
    square = direction.square()
    scale = eps / norm(direction, 2).clamp_min(torch.finfo(delta.dtype).tiny)
    close = 1 + 2 * torch.finfo(delta.dtype).eps
    steps = _BLIND_STEPS if delta.is_cuda else delta.shape[1] + 1
    for _ in range(steps):
        moved = scale[:, None] * direction
        saturated = (moved < low) | (moved > high)
        fixed = torch.where(saturated, moved.clamp(low, high).square(), 0.0).sum(1)
        free = torch.where(saturated, 0.0, square).sum(1)
        raised = (eps.square() - fixed).clamp_min(0).sqrt() / free.sqrt()
        # Each sample stops by itself: its steps must not depend on what else is in the batch.
        rises = outside & (free > 0) & (raised > scale * close)
        if not delta.is_cuda and not bool(rises.any()):
            break
        scale = torch.where(rises, raised, scale)
    point = (scale[:, None] * direction).clamp(low, high)
    # Rounding may leave the point a hair outside; shrinking it towards 0 keeps it in the box.
    size = norm(point.double(), 2).clamp_min(torch.finfo(delta.dtype).tiny)
    point = point * (limit / size).clamp_max(1.0).to(delta.dtype)[:, None]
    return torch.where(outside[:, None], point, clipped)


def project_l1(
    delta: Float[Tensor, "n d"],
    low: Float[Tensor, "n d"],
    high: Float[Tensor, "n d"],
    eps: Float64[Tensor, " n"],
    slack: float = 1.0,
) -> Float[Tensor, "n d"]:
    """Return the nearest point of {‖p‖₁ ≤ eps, low ≤ p ≤ high}; of norm eps·slack at most, clipped
    `delta` is left alone.

    p = sign(delta)·clip(|delta| − λ, 0, b), b the bound on that side (Croce and Hein 2021,
    arXiv:2103.01208). ‖p‖₁ falls piecewise linearly in λ: a Newton step that stays on one piece
    ends at the root. All in float64.

    >>> box = torch.tensor([[1.0, 1.0]])
    >>> one = torch.ones(1).double()
    >>> project_l1(torch.tensor([[0.9, 0.5]]), -box, box, one)
    tensor([[0.7000, 0.3000]])
    >>> project_l1(torch.tensor([[3.0, 0.9]]), -0.6 * box, 0.6 * box, one)
    tensor([[0.6000, 0.4000]])
    """
    point = delta.clamp(low, high)
    outside = norm(point.double(), 1) > eps * slack
    if delta.is_cuda:
        size, bound = delta.abs().double(), torch.where(delta > 0, high, -low).double()
        shrunk = delta.sign() * _sorted(size, bound, eps).to(delta.dtype)
        return torch.where(outside[:, None], shrunk, point)
    # A few rows at a time stay in the cache from one Newton step to the next.
    for rows in torch.split(outside.nonzero().squeeze(1), max(1, _CACHED // delta.shape[1])):
        some, budget = delta[rows], eps[rows]
        bound = torch.where(some > 0, high[rows], -low[rows]).double().minimum(budget[:, None])
        size = some.abs().double()
        threshold, found = _newton(size, bound, budget)
        change = (size - threshold[:, None]).clamp_min_(0).minimum(bound)
        if not bool(found.all()):
            left = (~found).nonzero().squeeze(1)
            change[left] = _sorted(size[left], bound[left], budget[left])
        point[rows] = some.sign() * change.to(delta.dtype)
    return point


def _newton(size: Tensor, bound: Tensor, budget: Tensor) -> tuple[Tensor, Tensor]:
    """Return each row's λ with Σ clip(size − λ, 0, bound) = budget, and whose steps ended there.

    A step that leaves the bracket, as at a concave knot, is replaced by bisection.
    """
    threshold, low, high = torch.zeros_like(budget), torch.zeros_like(budget), size.amax(1)
    found = torch.zeros_like(budget, dtype=torch.bool)
    # Next to sizes of 1e30 the digits of a bound of 1 are lost: such a row is not for Newton.
    plain = high < _FAR * bound.amax(1)
    exact = _EXACT * budget + torch.finfo(size.dtype).eps * 4 * high
    for _ in range(_BLIND_STEPS):
        change = (size - threshold[:, None]).clamp_min_(0).minimum(bound)
        over = change.sum(1) - budget
        found = over.abs() <= exact
        if bool((found | ~plain).all()):
            break
        # The slope is the number of entries strictly inside.
        slope = (bound - change).mul_(change).sign_().sum(1)
        low, high = torch.where(over > 0, threshold, low), torch.where(over > 0, high, threshold)
        moved = threshold + over / slope
        moved = torch.where((moved > low) & (moved < high), moved, (low + high) / 2)
        threshold = torch.where(found, threshold, moved)
    return threshold, found & plain


def _sorted(size: Tensor, bound: Tensor, budget: Tensor) -> Tensor:
    """Return clip(size − λ, 0, bound) of sum `budget`: the 2d knots are sorted, and the root is
    interpolated.
    """
    size = _closer(size, 2 * torch.minimum(bound.amax(1), budget))
    start = torch.minimum(size, bound).sum(1)
    knots = torch.cat([(size - bound).clamp_min(0), size], dim=1)
    slopes = torch.cat([torch.full_like(size, -1.0), torch.ones_like(size)], dim=1)
    knots, order = knots.sort(dim=1)
    slope = slopes.gather(1, order).cumsum(1)
    # The norm at each knot: its value at λ = 0, less what the segments before have taken.
    fallen = torch.cumsum(slope[:, :-1] * knots.diff(dim=1), dim=1)
    value = torch.cat([start[:, None], start[:, None] + fallen], dim=1)
    before = (value > budget[:, None]).sum(1, keepdim=True).clamp_min(1) - 1
    at, rise = value.gather(1, before), slope.gather(1, before)
    threshold = knots.gather(1, before) + (at - budget[:, None]) / (-rise).clamp_min(1.0)
    return (size - threshold).clamp_min(0).minimum(bound)


def _closer(size: Tensor, most: Tensor) -> Tensor:
    """Return sizes with the same order whose neighbours differ by no more than `most` (n,).

    No entry of the projection exceeds half of `most`, so a wider gap says nothing more; without it
    sizes of 1e30 lose no digits to their difference from λ.
    """
    ordered, order = size.sort(dim=1)
    gaps = ordered.diff(dim=1, prepend=torch.zeros_like(ordered[:, :1]))
    return torch.zeros_like(size).scatter(1, order, gaps.minimum(most[:, None]).cumsum(1))


def project_l0(
    delta: Float[Tensor, "n d"],
    low: Float[Tensor, "n d"],
    high: Float[Tensor, "n d"],
    eps: Float[Tensor, " n"],
    group: int = 1,
) -> Float[Tensor, "n d"]:
    """Return the nearest point with at most `eps` non-zero entries (or pixels) inside the box.

    Keeping an entry saves delta² − (delta − clip(delta))² of squared distance; the largest savings
    are kept. With `group` = C the entries (n, C·H·W) are pixels of C channels that are kept or
    dropped together.

    >>> wide = torch.tensor([[9.0, 9.0, 9.0]])
    >>> project_l0(torch.tensor([[0.1, -3.0, 2.0]]), -wide, wide, torch.tensor([2.0]))
    tensor([[ 0., -3.,  2.]])
    """
    clipped = delta.clamp(low, high)
    saving = clipped * (2 * delta - clipped)
    pixels = saving.reshape(len(delta), group, -1).sum(1)
    keep = largest_k(pixels, eps).repeat(1, group)
    return torch.where(keep, clipped, 0.0)
