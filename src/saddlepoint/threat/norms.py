"""Norms per sample, safe for gradients of 1e-30 and of 1e30, and broadcasting helpers."""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from saddlepoint.scalars import numbers


def expand(values: Float[Tensor, " n"], like: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
    """Return `values` with trailing axes of length one, so that it multiplies `like` per sample.

    >>> expand(torch.ones(2), torch.ones(2, 3, 4, 4)).shape
    torch.Size([2, 1, 1, 1])
    """
    return values.reshape(-1, *[1] * (like.ndim - 1))


def at_least_single(x: Tensor) -> Tensor:
    """Return `x` in float32 or better: half precision is coarser than a budget of 8/255.

    >>> at_least_single(torch.ones(1, dtype=torch.bfloat16)).dtype
    torch.float32
    """
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def norm(x: Float[Tensor, "n ..."], p: float) -> Float[Tensor, " n"]:
    """Return the p-norm of each sample, p in {1, 2, inf}, without over- or underflow for p = 2.

    >>> norm(torch.tensor([[3e-30, 4e-30]]), 2)
    tensor([5.0000e-30])
    """
    flat = x.flatten(1)
    if p == 1:
        return flat.abs().sum(1)
    largest = flat.abs().amax(1)
    if p == float("inf"):
        return largest
    usable = (largest > 0) & (largest < torch.inf)
    scaled = flat / torch.where(usable, largest, 1.0)[:, None]
    size: Tensor = torch.linalg.vector_norm(scaled, dim=1)
    return torch.where(usable, size * largest, largest)


def unit(x: Float[Tensor, "n ..."], p: float) -> Float[Tensor, "n ..."]:
    """Return each sample divided by its p-norm; a zero sample stays zero.

    >>> unit(torch.tensor([[3e-30, 4e-30], [0.0, 0.0]]), 2)
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    largest = norm(x, float("inf"))
    scaled = x / expand(torch.where(largest > 0, largest, 1.0), x)
    size = norm(scaled, p)
    return scaled / expand(torch.where(size > 0, size, 1.0), x)


def within(x: Tensor, delta: Tensor) -> Tensor:
    """Return x + delta, rounded so that no entry moves further than |delta| says.

    In float32 a sum near 1 is rounded by up to 3e-8; over the entries of an image that would carry
    a small ball's surface outside the ball.

    >>> x, delta = torch.tensor([0.7]), torch.tensor([5e-8])
    >>> float(x + delta - x), float(within(x, delta) - x)
    (5.960464477539063e-08, 0.0)
    """
    moved = (x + delta).to(x.dtype)
    further = (moved.double() - x.double()).abs() > delta.double().abs()
    return torch.where(further, torch.nextafter(moved, x), moved)


def drawn_within(
    x: Float[Tensor, "n ..."], parameters: Float64[Tensor, "n ..."]
) -> Float[Tensor, "n ..."]:
    """Return float64 `parameters` rounded towards `x` in its dtype; the gradient passes unchanged.

    >>> x, z = torch.tensor([0.7]), torch.tensor([0.7 + 1e-7], dtype=torch.float64)
    >>> _ = z.requires_grad_()
    >>> near = drawn_within(x, z)
    >>> float(near.detach() - x), float(torch.autograd.grad(near.sum(), z)[0])
    (5.960464477539063e-08, 1.0)
    """
    with torch.no_grad():
        near = within(x, parameters.detach() - x.double())
    return near + (parameters - parameters.detach()).to(x.dtype)


def interval(
    x: Float[Tensor, "n ..."], eps: float | Tensor, dtype: torch.dtype | None = None
) -> tuple[Float[Tensor, "n ..."], Float[Tensor, "n ..."]]:
    """Return the least and the greatest number of `dtype`, or `x`'s, within `eps` of `x`, exactly.

    Where that is the dtype of `x`, `eps` is rounded down to it first.

    Args:
        eps: at least 0; a number, or float64 that broadcasts with `x`.

    >>> low, high = interval(torch.tensor([0.7]), 1e-7)
    >>> float(high) - float(torch.tensor(0.7)) <= 1e-7 < float(high) - float(torch.tensor(0.7)) + 6e-8
    True
    """
    kind = x.dtype if dtype is None else dtype
    if kind == x.dtype:
        share = _at_most(eps, kind)
        return -_sum_at_most(-x, share), _sum_at_most(x, share)
    exact = x.double()
    return _rounded_down(exact, -eps, kind, up=True), _rounded_down(exact, eps, kind)


def _at_most(eps: float | Tensor, dtype: torch.dtype) -> Tensor:
    """Return the greatest number of `dtype` of at most `eps`."""
    exact = torch.as_tensor(eps, dtype=torch.float64)
    near = exact.to(dtype)
    return torch.where(near.double() > exact, torch.nextafter(near, -torch.ones_like(near)), near)


def _sum_at_most(a: Tensor, b: Tensor) -> Tensor:
    """Return a + b, or the number below where the sum was rounded up; all of one dtype.

    Six additions find the error of a sum exactly (Knuth's two-sum), in a fifth of the time that
    float64 takes.
    """
    total = a + b
    other = total - a
    error = (total - other).neg_().add_(a).add_(other.neg_().add_(b))  # (a − (s − o)) + (b − o)
    return torch.where(error < 0, torch.nextafter(total, numbers(-torch.inf, a)), total)


def _rounded_down(a: Tensor, b: float | Tensor, dtype: torch.dtype, up: bool = False) -> Tensor:
    """Return the greatest number of `dtype` of at most a + b (with `up` the least of at least)."""
    total = a + b
    other = total - a  # what of b is in the rounded total; the rest is its error, exactly
    error = (a - (total - other)) + (b - other)
    near = total.to(dtype)
    back = torch.full_like(near, torch.inf if up else -torch.inf)
    if up:
        wrong = (near < total) | ((near == total) & (error > 0))
    else:
        wrong = (near > total) | ((near == total) & (error < 0))
    return torch.where(wrong, torch.nextafter(near, back), near)


def ulp(*values: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
    """Return the gap of float32 below the largest magnitude of `values`, in float64.

    >>> ulp(torch.tensor([0.2]), torch.tensor([1.0]))
    tensor([5.9605e-08], dtype=torch.float64)
    """
    largest = torch.stack([value.abs().float() for value in values]).amax(0)
    below = torch.nextafter(largest, torch.zeros_like(largest))
    return largest.double() - below.double()


def largest_k(x: Float[Tensor, "n d"], k: Tensor) -> Tensor:
    """Return the mask of the k[i] largest entries of row i (ties: the first); k is (n,) and whole.

    >>> largest_k(torch.tensor([[1.0, 3.0, 2.0]]), torch.tensor([2]))
    tensor([[False,  True,  True]])
    """
    d = x.shape[1]
    count = k[:, None].clamp(0, d).to(torch.int64)
    most = d if x.is_cuda else max(1, int(count.max())) if len(x) else 1
    smallest = x.topk(most, dim=1).values.gather(1, (count - 1).clamp_min(0))
    above, tied = x > smallest, x == smallest
    first = tied.cumsum(1) <= count - above.sum(1, keepdim=True)
    return (above | (tied & first)) & (count > 0)


# Shares that add up to a unit but for rounding leave no sliver for a further coordinate.
_FULL = 1 - 1e-6


def fill(
    size: Float[Tensor, "n d"], most: Float[Tensor, "n d"], guess: Int64[Tensor, "n 1"]
) -> Float[Tensor, "n d"]:
    """Return how a unit is given to the largest entries of `size` first, at most `most` to each
    (ties: the first).

    Args:
        guess: about how many entries it takes; a better guess saves time and changes nothing.

    >>> fill(torch.tensor([[1.0, 3.0, 2.0]]), torch.full((1, 3), 0.75), torch.tensor([[1]]))
    tensor([[0.0000, 0.7500, 0.2500]])
    """
    d = size.shape[1]
    top = d if size.is_cuda or not len(size) else 2 * int(guess.max()) + 64
    if 6 * top > d:
        return _fill_in_order(size, most)
    values, order = size.topk(top, dim=1)
    room = most.gather(1, order)
    filled = room.cumsum(1)
    taken = room.minimum((1 - (filled - room)).clamp_min(0))
    taken = torch.where(filled - room < _FULL, taken, 0.0)
    # Too few were looked at, or the unit ends among equals, whose order there is anyone's guess.
    last = (filled < _FULL).sum(1, keepdim=True).clamp_max(top - 1)
    pair = torch.cat([(last - 1).clamp_min(0), last, (last + 1).clamp_max(top - 1)], dim=1)
    level = values.gather(1, pair)
    tied = ((pair[:, :1] < last) & (level[:, :1] == level[:, 1:2])) | (
        (pair[:, 2:] > last) & (level[:, 2:] == level[:, 1:2])
    )
    unsure = (tied[:, 0] & (level[:, 1] > 0)) | (last[:, 0] == top - 1)
    step = torch.zeros_like(size).scatter_(1, order, taken)
    if bool(unsure.any()):
        step[unsure] = _fill_in_order(size[unsure], most[unsure])
    return step


def _fill_in_order(size: Tensor, most: Tensor) -> Tensor:
    order = size.argsort(dim=1, descending=True, stable=True)
    room = most.gather(1, order)
    before = room.cumsum(1) - room
    taken = torch.where(before < _FULL, room.minimum((1 - before).clamp_min(0)), 0.0)
    return torch.zeros_like(size).scatter_(1, order, taken)
