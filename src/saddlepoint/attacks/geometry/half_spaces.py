"""The nearest point of a half-space or a hyperplane inside a box, in L0, L1, L2 and Linf.

In every norm the solution moves each entry straight towards the bound that lowers ⟨w, z⟩, by an
amount that depends on one number per sample, the dual variable. In L2 and Linf that number is the
root of a piecewise linear function, found by Newton's steps inside a bracket; in L1 and L0 the most
profitable entries are filled up one after the other, and only as many are put in order as are
needed. Everything is computed in float64, from normals divided by their largest entry.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.errors import InputError

# Newton's steps: five to ten are usual; a bracket that is only ever halved needs a hundred.
_STEPS = 200
_CLOSE = 1e-14
# So many entries at once stay in a CPU's cache.
_AT_ONCE = 1 << 15
# An infinite bound, as a number that 0 may be multiplied with.
_FAR = 1e30
_TINY = 1e-300
# In L1 and L0 few entries move as a rule: so many are put in order first.
_FIRST_FEW = 32


def project_halfspace(
    point: Float[Tensor, "m ..."],
    normal: Float[Tensor, "m ..."],
    offset: Float[Tensor, " m"],
    low: Float[Tensor, "m ..."],
    high: Float[Tensor, "m ..."],
    p: float,
    *,
    equality: bool = False,
) -> Float[Tensor, "m ..."]:
    """Return the point of {z: ⟨normal, z⟩ ≤ offset, low ≤ z ≤ high} nearest to `point`.

    Where the box does not reach the half-space, the result is the corner of the box that comes
    nearest to it: the least ⟨normal, z⟩. Entries whose normal is 0 are only clipped, and so is a
    whole sample whose normal is 0.

    Args:
        point: (m, …) what to project; it may lie outside the box.
        normal: (m, …) w, of any length.
        offset: (m,) b.
        low, high: (m, …) the box; infinite bounds count as ±1e30.
        p: the norm, 0, 1, 2 or inf. In L0 the fewest entries move, and the last of them no
            further than needed.
        equality: project on the hyperplane ⟨normal, z⟩ = offset instead.

    >>> x, w, b = torch.tensor([[0.5, 0.5]]), torch.tensor([[2.0, 1.0]]), torch.tensor([0.75])
    >>> low, high = torch.zeros(1, 2), torch.ones(1, 2)
    >>> for p in (1, 2, math.inf):
    ...     project_halfspace(x, w, b, low, high, p)
    tensor([[0.1250, 0.5000]])
    tensor([[0.2000, 0.3500]])
    tensor([[0.2500, 0.2500]])
    """
    if p not in (0, 1, 2, math.inf):
        raise InputError(f"p is {p}; it is 0, 1, 2 or inf")
    rows = len(point) if point.is_cuda else max(1, _AT_ONCE // max(1, point[0:1].numel()))
    parts = []
    for start in range(0, len(point), rows):
        part = slice(start, start + rows)
        x, w, least, most = (each[part].flatten(1) for each in (point, normal, low, high))
        parts.append(_project(x, w, offset[part], least, most, p, equality))
    return torch.cat(parts).reshape(point.shape) if parts else point


def violation(
    point: Float[Tensor, "m ..."], normal: Float[Tensor, "m ..."], offset: Float[Tensor, " m"]
) -> Float[Tensor, " m"]:
    """Return max(0, ⟨normal, point⟩ − offset) over ‖normal‖∞, in float64: 0 in the half-space.

    What is left to rounding counts as 0.

    >>> violation(torch.ones(1, 2), torch.tensor([[2.0, 1.0]]), torch.tensor([1.0]))
    tensor([1.], dtype=torch.float64)
    """
    w, b = _scaled(normal.flatten(1), offset)
    terms = w * point.flatten(1).double()
    over = (terms.sum(1) - b).clamp_min(0)
    rounding = 16 * torch.finfo(point.dtype).eps
    return torch.where(over <= rounding * (terms.abs().sum(1) + b.abs()), 0.0, over)


def _scaled(normal: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
    """Return the same half-spaces with the largest entry of each normal 1, or 0."""
    w = normal.double()
    largest = w.abs().amax(1)
    unit = torch.where(largest > 0, largest, 1.0)
    return w / unit[:, None], (offset.double() / unit).nan_to_num(
        nan=-math.inf, posinf=math.inf, neginf=-math.inf
    )


def _project(
    point: Tensor, normal: Tensor, offset: Tensor, low: Tensor, high: Tensor, p: float, both: bool
) -> Tensor:
    """Solve for the (n, d) rows of one part."""
    w, b = _scaled(normal, offset)
    x, low, high = point.double(), low.double().clamp_min(-_FAR), high.double().clamp_max(_FAR)
    inside = x.clamp(low, high)
    gap = _dot(w, inside) - b
    side = gap.sign() if both else (gap > 0).double()
    need = torch.where(side == 0, 0.0, gap.abs())
    down = w.sign() * -side[:, None]
    room = torch.maximum(down * (high - inside), down * (low - inside))
    gain = w.abs_()
    if p in (0, 1):
        moved = _fill(gain, room, need, by_mass=p == 0)
    else:
        # What lies outside the box has come some of its way already.
        dead = None if torch.equal(inside, x) else (down * (inside - x)).clamp_min(0)
        rate = gain if p == 2 else down.abs()
        moved = _raise_level(gain, rate, room, dead, need)
    return (inside + down * moved).clamp(low, high).to(point.dtype)


def _raise_level(
    gain: Tensor, rate: Tensor, room: Tensor, dead: Tensor | None, need: Tensor
) -> Tensor:
    """Return clip(λ·rate − dead, 0, room) with Σ gain·that = need, or all the room.

    Without `dead` the sum is concave in λ, and Newton's steps rise to the root and end there after
    finitely many.
    """
    slopes, full = gain * rate, gain * room
    total = full.sum(1)
    active = (total > need) & (need > 0)
    level = need / slopes.sum(1).clamp_min(_TINY)
    # Entries that cannot move have 0/0 here, and no comparison with it holds.
    end = (room if dead is None else dead + room) / rate
    begin = None if dead is None else dead / rate
    lost = None if dead is None else gain * dead
    lowest, highest = torch.zeros_like(level), torch.full_like(level, math.inf)
    for _ in range(_STEPS):
        at = level[:, None]
        ended = (at >= end).double()
        fixed, free = _dot(full, ended), 1 - ended
        if begin is not None and lost is not None:
            free = free * (at >= begin)
            fixed -= _dot(lost, free)
        slope = _dot(slopes, free)
        error = need - (fixed + level * slope)
        lowest = torch.where(error >= 0, level, lowest)
        highest = torch.where(error < 0, level, highest)
        newton = (need - fixed) / slope
        middle = torch.where(highest.isinf(), 2 * level, (lowest + highest) / 2)
        # A slope of 0 makes an infinity or NaN, which lies in no bracket.
        good = (newton >= lowest) & (newton <= highest) & newton.isfinite()
        raised = torch.where(good, newton, middle)
        active &= (error.abs() > _CLOSE * need) & ((raised - level).abs() > _CLOSE * level)
        if not bool(active.any()):
            break
        level = torch.where(active, raised, level)
    moved = rate * level[:, None]
    if dead is not None:
        moved = (moved - dead).clamp_min_(0)
    return torch.where((total > need)[:, None], torch.minimum(moved, room), room)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Return the inner product of each row."""
    return torch.bmm(a[:, None, :], b[:, :, None])[:, 0, 0]


def _fill(gain: Tensor, room: Tensor, need: Tensor, by_mass: bool) -> Tensor:
    """Return moves that reach `need` by filling up entries: the largest gain first, or mass.

    An entry's mass is all that it can contribute; the last entry moves no further than needed.
    """
    most = gain * room
    mass = torch.minimum(most, need[:, None])
    key = most if by_mass else gain * (mass > 0)
    count, size = _FIRST_FEW, gain.shape[1]
    while True:
        count = min(count, size)
        best = key.topk(count, dim=1).indices
        part = mass.gather(1, best)
        total = part.cumsum(1)
        if count == size or bool((total[:, -1] >= need).all()):
            break
        count *= 8
    before = torch.nn.functional.pad(total[:, :-1], (1, 0))
    taken = torch.minimum((need[:, None] - before).clamp_min(0), part)
    chosen = gain.gather(1, best)
    wanted = taken / torch.where(chosen > 0, chosen, 1.0)
    wanted = torch.where(taken < part, wanted, wanted.minimum(room.gather(1, best)))
    return torch.zeros_like(gain).scatter(1, best, wanted.minimum(room.gather(1, best)))
