"""Norms per sample, safe for gradients of 1e-30 and of 1e30, and broadcasting helpers."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


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
    scaled = flat / torch.where(largest > 0, largest, 1.0)[:, None]
    size: Tensor = torch.linalg.vector_norm(scaled, dim=1)
    return size * largest


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
    moved = x + delta
    further = (moved.double() - x.double()).abs() > delta.double().abs()
    return torch.where(further, torch.nextafter(moved, x), moved)


def largest_k(x: Float[Tensor, "n d"], k: Tensor) -> Tensor:
    """Return the mask of the k[i] largest entries of row i (ties: the first); k is (n,) and whole.

    >>> largest_k(torch.tensor([[1.0, 3.0, 2.0]]), torch.tensor([2]))
    tensor([[False,  True,  True]])
    """
    order = x.argsort(dim=1, descending=True, stable=True)
    chosen = torch.arange(x.shape[1], device=x.device)[None, :] < k[:, None]
    return torch.zeros_like(chosen).expand_as(x).scatter(1, order, chosen)
