"""The point of a hyperplane nearest to the clean image, inside a box and a Euclidean trust region.

One number t per sample leads from the point of hyperplane ∩ box nearest to the clean image (t = 0)
to the one nearest to the middle of the trust region (t = 1), along points that are each optimal for
the trust region they lie on. The answer is the first of them inside the trust region:

- in L2 the hyperplane's point nearest to (1 − t)·clean + t·x,
- in Linf the one nearest to x within a distance s of the clean image, where s falls with t,
- in L1 the minimum of ‖z − clean‖₁ + μ/2·‖z − x‖², where μ grows with t.

In L0 there is no such family; see `fewest_moves`.

Everything is computed in float64.

Reference: Brendel, Rauber, Kümmerer, Ustyuzhaninov and Bethge 2019, arXiv:1907.01003, section 3 and
the supplement; the one-dimensional families are ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saddlepoint.attacks.geometry.fewest_moves import fewest_moves
from saddlepoint.attacks.geometry.half_spaces import project_halfspace
from saddlepoint.errors import InputError

_CLOSE = 1e-9
_INNER_STEPS = 100

Family = Callable[[Tensor, Tensor], Tensor]
"""Of (k,) rows and their t, the points (k, d)."""


def trust_region_step(
    clean: Float[Tensor, "m ..."],
    x: Float[Tensor, "m ..."],
    normal: Float[Tensor, "m ..."],
    change: Float[Tensor, " m"],
    low: Float[Tensor, "m ..."],
    high: Float[Tensor, "m ..."],
    radius: Float[Tensor, " m"],
    p: float,
    *,
    tolerance: float = 1e-9,
    looks: int = 60,
) -> tuple[Float[Tensor, "m ..."], Bool[Tensor, " m"]]:
    """Return the point z of {⟨normal, z − x⟩ = change, ‖z − x‖₂ ≤ radius, low ≤ z ≤ high} with the
    least ‖z − clean‖_p, and where there is one.

    Where the hyperplane is out of reach, z makes the largest step towards it. In L0 the least is
    that of the Lagrangian, which may be a few entries above the true one.

    Args:
        clean, x: (m, …) inside of the box.
        normal: (m, …) b, of any length.
        change: (m,) c.
        radius: (m,) of the trust region around `x`.
        p: the norm, 0, 1, 2 or inf.
        tolerance: the share of the radius that may be left over, where less is cheaper.
        looks: points of the family that are tried at most; 12 leave little over, 60 nothing.

    >>> clean, x, b = torch.zeros(1, 2), torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 1.0]])
    >>> low, high, c = torch.zeros(1, 2), torch.ones(1, 2), torch.tensor([0.0])
    >>> for radius in (2.0, 0.1):  # the nearest of the diagonal, and what the trust region leaves
    ...     trust_region_step(clean, x, b, c, low, high, torch.tensor([radius]), 2.0)[0]
    tensor([[0.5000, 0.5000]])
    tensor([[0.0707, 0.9293]])
    """
    if p not in (0, 1, 2, math.inf):
        raise InputError(f"p is {p}; it is 0, 1, 2 or inf")
    flat = [each.flatten(1).double() for each in (clean, x, normal, low, high)]
    far, start, w, least, most = flat
    limit = radius.double()
    largest = w.abs().amax(1)
    unit = torch.where(largest > 0, largest, 1.0)
    w, c = w / unit[:, None], (change.double() / unit).nan_to_num(0.0, 0.0, 0.0)
    problem = _Problem(far, start, w, (w * start).sum(1) + c, least, most)
    near = problem.project(start, slice(None), 2.0)
    reached = problem.holds(near) & ((near - start).norm(dim=1) <= limit)
    z = near
    if not bool(reached.all()):
        rows = (~reached).nonzero().squeeze(1)
        towards = c.sign()[rows, None] * w[rows]
        z = z.index_copy(0, rows, _furthest(problem.at(rows), towards, limit[rows]))
    if bool(reached.any()):
        rows = reached.nonzero().squeeze(1)
        found = problem.at(rows)
        if p == 0:
            inside = fewest_moves(
                found.clean,
                found.x,
                found.w,
                found.offset,
                found.low,
                found.high,
                near[rows],
                limit[rows],
            )
        else:
            inside = _first_inside(
                found, found.family(p), near[rows], limit[rows], tolerance, looks
            )
        z = z.index_copy(0, rows, inside)
    return z.reshape(x.shape).to(x.dtype), reached


class _Problem:
    """The hyperplane ⟨w, z⟩ = offset in a box, with x and the clean image; (m, d) in float64."""

    def __init__(self, *parts: Tensor) -> None:
        self.parts = parts
        self.clean, self.x, self.w, self.offset, self.low, self.high = parts

    def at(self, rows: Tensor) -> _Problem:
        return _Problem(*(part[rows] for part in self.parts))

    def project(self, point: Tensor, rows: Tensor | slice, p: float) -> Tensor:
        """Return the points of the hyperplane in the box nearest to `point` (k, d)."""
        w, b, low, high = self.w[rows], self.offset[rows], self.low[rows], self.high[rows]
        return project_halfspace(point, w, b, low, high, p, equality=True)

    def holds(self, z: Tensor) -> Tensor:
        """Return which points lie on the hyperplane, rounding apart."""
        terms = self.w * z
        size = terms.abs().sum(1) + self.offset.abs()
        return (terms.sum(1) - self.offset).abs() <= _CLOSE * size

    def family(self, p: float) -> Family:
        """Return the points that the number t leads through; see the module."""
        if p == 2:
            return self._euclidean
        if p == math.inf:
            return self._largest()
        scale = (self.x - self.clean).abs().amax(1).clamp_min(_CLOSE)

        def penalised(rows: Tensor, t: Tensor) -> Tensor:
            z = self._soft(rows, scale[rows] * (1 - t) / t.clamp_min(1e-300))
            ends = t == 0
            if bool(ends.any()):
                z[ends] = self.project(self.clean[rows[ends]], rows[ends], p)
            return z

        return penalised

    def _euclidean(self, rows: Tensor, t: Tensor) -> Tensor:
        return self.project(torch.lerp(self.clean[rows], self.x[rows], t[:, None]), rows, 2.0)

    def _largest(self) -> Family:
        everything = slice(None)
        least = self.project(self.clean, everything, math.inf) - self.clean
        most = self.project(self.x, everything, 2.0) - self.clean
        shortest, longest = least.abs().amax(1), most.abs().amax(1)

        def within(rows: Tensor, t: Tensor) -> Tensor:
            s = torch.lerp(shortest[rows], longest[rows], t)[:, None] * (1 + 1e-12)
            low = torch.maximum(self.low[rows], self.clean[rows] - s)
            high = torch.minimum(self.high[rows], self.clean[rows] + s)
            w, b = self.w[rows], self.offset[rows]
            return project_halfspace(self.x[rows], w, b, low, high, 2.0, equality=True)

        return within

    def _soft(self, rows: Tensor, tau: Tensor) -> Tensor:
        """Return the minimum of τ·‖z − clean‖₁ + ‖z − x‖²/2: clean + soft(x − clean − ν·w, τ)."""
        clean, way, w = self.clean[rows], self.x[rows] - self.clean[rows], self.w[rows]
        low, high, bound = self.low[rows] - clean, self.high[rows] - clean, tau[:, None]
        need = self.offset[rows] - (w * clean).sum(1)

        def moved(nu: Tensor) -> tuple[Tensor, Tensor]:
            free = way - nu[:, None] * w
            soft = free - free.clamp(-bound, bound)
            delta = soft.clamp(low, high)
            slope = (w * w * ((soft != 0) & (soft == delta))).sum(1)
            return delta, slope

        return clean + _multiplier(moved, w, need, tau)


def _multiplier(
    moved: Callable[[Tensor], tuple[Tensor, Tensor]],
    w: Tensor,
    need: Tensor,
    scale: Tensor,
) -> Tensor:
    """Return the δ(ν) with ⟨w, δ(ν)⟩ = need, which falls as ν rises.

    Newton's steps inside a bracket, which is halved where they leave it.
    """
    nu = torch.zeros_like(need)
    delta, slope = moved(nu)
    error = (w * delta).sum(1) - need  # above 0: ν must rise
    sign = error.sign()
    inner, outer = nu.clone(), torch.full_like(nu, math.inf)  # in the direction of `sign`
    result, step = delta, scale.clamp_min(_CLOSE)
    tolerance = 1e-12 * (need.abs() + w.abs().sum(1))
    done = error.abs() <= tolerance
    for _ in range(_INNER_STEPS):
        if bool(done.all()):
            break
        newton = nu * sign + error * sign / slope
        halved = torch.where(outer.isinf(), inner + step, (inner + outer) / 2)
        step = torch.where(outer.isinf(), 4 * step, step)
        good = newton.isfinite() & (newton > inner) & (newton < outer)
        nu = torch.where(done, nu, sign * torch.where(good, newton, halved))
        delta, slope = moved(nu)
        error = (w * delta).sum(1) - need
        beyond = error * sign <= tolerance
        result = torch.where((beyond & ~done)[:, None], delta, result)
        inner = torch.where(beyond, inner, nu * sign)
        outer = torch.where(beyond, nu * sign, outer)
        done |= (error.abs() <= tolerance) | (outer - inner <= 1e-15 * inner)
    return result


def _first_inside(
    problem: _Problem, family: Family, near: Tensor, limit: Tensor, tolerance: float, looks: int
) -> Tensor:
    """Return the first point of the family within `limit` of x, or one that is further in by the
    `tolerance`; `near` is the last of the family, and is within.

    False position on the excess of the squared length, by Illinois' rule.
    """
    every = torch.arange(len(limit), device=limit.device)
    squared = limit.square()

    def excess(rows: Tensor, z: Tensor) -> Tensor:
        return (z - problem.x[rows]).square().sum(1) - squared[rows]

    low, high = torch.zeros_like(limit), torch.ones_like(limit)
    z = family(every, low)
    above, below = excess(every, z), excess(every, near)
    result = torch.where((above <= 0)[:, None], z, near)
    rows, last = (above > 0).nonzero().squeeze(1), torch.zeros_like(limit)
    for _ in range(looks):
        if not len(rows):
            break
        a, b, f, g = low[rows], high[rows], above[rows], below[rows]
        at = (a + (b - a) * f / (f - g)).nan_to_num(0.5)
        at = torch.where((at > a) & (at < b), at, (a + b) / 2)
        z = family(rows, at)
        value = excess(rows, z)
        inside = value <= 0
        result[rows[inside]] = z[inside]
        side = torch.where(inside, 1.0, -1.0).to(limit.dtype)
        repeated = side == last[rows]
        # The end that stands still counts half, so that the next step crosses.
        above[rows] = torch.where(inside, torch.where(repeated, f / 2, f), value)
        below[rows] = torch.where(inside, value, torch.where(repeated, g / 2, g))
        low[rows], high[rows] = torch.where(inside, a, at), torch.where(inside, at, b)
        last[rows] = side
        close = inside & (value >= -2 * tolerance * squared[rows])
        rows = rows[~close & (high[rows] - low[rows] > 1e-15)]
    return result


def _furthest(problem: _Problem, direction: Tensor, limit: Tensor) -> Tensor:
    """Return clip(x + s·direction) on the trust region, or the corner that it leads to."""
    low, high, x = problem.low, problem.high, problem.x
    room = torch.where(direction > 0, high - x, x - low).clamp_min(0)
    speed = direction.abs()
    room = torch.where(speed > 0, room, 0.0)
    inner, squared = torch.zeros_like(limit), limit.square()
    length = speed.norm(dim=1)
    s = limit / torch.where(length > 0, length, 1.0)
    # ‖min(s·speed, room)‖² grows at most as s², so that steps on its free part stay below the root.
    for _ in range(_INNER_STEPS):
        ended = s[:, None] * speed >= room
        left = squared - (room.square() * ended).sum(1)
        free = (speed.square() * ~ended).sum(1)
        inner, s = s, torch.where((free > 0) & (left > 0), (left / free).sqrt(), math.inf)
        if bool((s <= inner * (1 + 1e-14)).logical_or(s.isinf()).all()):
            break
    moved = torch.minimum(s[:, None] * speed, room).nan_to_num(0.0)
    return (x + direction.sign() * moved).clamp(low, high)
