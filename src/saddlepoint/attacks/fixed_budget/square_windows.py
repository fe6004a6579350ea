"""The windows of `Square`, and the pyramids that fill them in L2 and L1."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.threat.norms import expand, within

# The start has at least as many tiles each way.
_TILES = 5
_TINY = 1e-300


@dataclass(frozen=True)
class Window:
    """The sides of a window, and the two ways in which pyramids lie in it."""

    sides: tuple[int, int]
    pyramids: tuple[Tensor, Tensor]

    @classmethod
    def of(cls, height: int, width: int, p: float, like: Tensor) -> Window:
        """Return a window for the p-norm, in the dtype of `like`."""
        first, second = (_pyramids(height, width, axis, p, like) for axis in (0, 1))
        return cls((height, width), (first, second))


def as_image(x: Float[Tensor, "m ..."]) -> Float[Tensor, "m c h w"]:
    """Return a view of `x` with channels, rows and columns; a vector is one row."""
    channels = x.shape[1] if x.ndim > 2 else 1
    return x.reshape(len(x), channels, -1, x.shape[-1])


def sides_of(share: float, height: int, width: int, least: int) -> tuple[int, int]:
    """Return the sides of a window of that share of the image: a square where it fits.

    >>> sides_of(0.25, 8, 8, 1), sides_of(0.25, 1, 16, 1), sides_of(0.01, 8, 8, 3)
    ((4, 4), (1, 4), (3, 3))
    """
    side = max(round(math.sqrt(share * height * width)), least)
    if least > 1:  # the pyramids have a centre
        side += 1 - side % 2
    short = min(height, width)
    if side <= short:
        return side, side
    long = min(max(round(share * height * width / short), least), max(height, width))
    return (short, long) if height <= width else (long, short)


def places(u: Float[Tensor, "m 2"], sides: tuple[int, int], x: Tensor) -> tuple[Tensor, Tensor]:
    """Return how far each row (m, h) and each column (m, w) is from the corner of its window."""
    away = []
    for axis, (side, size) in enumerate(zip(sides, x.shape[2:], strict=True)):
        first = (u[:, axis] * (size - side + 1)).long().clamp_max(size - side)
        away.append(torch.arange(size, device=x.device) - first[:, None])
    return away[0], away[1]


def inside_of(away: tuple[Tensor, Tensor], sides: tuple[int, int]) -> Bool[Tensor, "m 1 h w"]:
    """Return which pixels are in their sample's window."""
    rows, columns = ((a >= 0) & (a < side) for a, side in zip(away, sides, strict=True))
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def _signs(u: Float[Tensor, "m ..."]) -> Float[Tensor, "m ..."]:
    return 2.0 * (u < 0.5) - 1.0


def tiles(batch: Batch) -> Tensor:
    """Return the whole budget on tiles, of a random sign in each channel."""
    low, high = batch.bounds
    image = as_image(low)
    channels, height, width = image.shape[1:]
    sides = max(1, height // _TILES), max(1, width // _TILES)
    shape = height // sides[0], width // sides[1]
    signs = _signs(batch.keys.uniform((channels, *shape))).to(image.dtype)
    signs = signs.repeat_interleave(sides[0], 2).repeat_interleave(sides[1], 3)
    axis, p = 0 if sides[0] > 1 else 1, batch.ball.p
    tiled = signs * _pyramids(*sides, axis, p, image).repeat(shape)
    delta = torch.zeros_like(image)
    top, left = (height - tiled.shape[2]) // 2, (width - tiled.shape[3]) // 2
    delta[:, :, top : top + tiled.shape[2], left : left + tiled.shape[3]] = tiled
    return _spent(batch, delta.reshape(low.shape), low, high)


def move(batch: Batch, x: Tensor, low: Tensor, high: Tensor, u: Tensor, window: Window) -> Tensor:
    """Return `x` with one window emptied, and its budget added to another as two pyramids."""
    clean = batch.clean
    delta, sides = as_image(x - clean), window.sides
    channels, split = delta.shape[1], (u[:, 4] < 0.5) & (sides[0] > 1)
    away, other = places(u[:, :2], sides, delta), places(u[:, 2:4], sides, delta)
    filled, emptied, p = inside_of(away, sides), inside_of(other, sides), batch.ball.p
    rows, columns = (a.clamp(0, side - 1) for a, side in zip(away, sides, strict=True))
    shaped = [pattern[rows.unsqueeze(2), columns.unsqueeze(1)] for pattern in window.pyramids]
    fresh = torch.where(split[:, None, None], shaped[0], shaped[1])[:, None] * filled
    eps = batch.threat.radius(batch.images)
    free = (eps**p - delta.abs().pow(p).sum((1, 2, 3))).clamp_min(0) / channels
    taken = torch.where(filled | emptied, delta, 0.0).abs().pow(p).sum((2, 3), keepdim=True)
    budget = (taken + free[:, None, None, None]).pow(1 / p)
    if p == 1:  # as in AutoAttack; what is too much is projected away
        budget = budget * channels
    old = torch.where(filled, delta, 0.0)
    mixed = _signs(u[:, 6 : 6 + channels, None, None]).to(x.dtype) * fresh + _unit_channels(old, p)
    delta = torch.where(filled, budget * _unit_channels(mixed, p), delta.masked_fill(emptied, 0.0))
    return _spent(batch, delta.reshape(x.shape), low, high)


def _unit_channels(x: Float[Tensor, "m c h w"], p: float) -> Float[Tensor, "m c h w"]:
    size = x.abs().pow(p).sum((2, 3), keepdim=True).pow(1 / p)
    return x / torch.where(size > 0, size, 1.0)


def _spent(batch: Batch, delta: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return the clean parameters plus `delta`, in L2 at the length of the whole budget and clipped,
    in L1 projected.
    """
    if batch.ball.p == 1:
        return batch.project(batch.clean + delta)
    size = torch.linalg.vector_norm(delta.flatten(1), dim=1, dtype=torch.float64)
    length = batch.ball.eps_after_rounding(batch.clean) / size.clamp_min(_TINY)
    # Where two pyramids cancel out nothing is left to be made longer.
    length = torch.where(size > 0, length, 0.0).to(delta.dtype)
    return within(batch.clean, expand(length, delta) * delta).clamp(low, high)


def _pyramids(height: int, width: int, axis: int, p: float, like: Tensor) -> Float[Tensor, "h w"]:
    """Return two pyramids of opposite sign side by side along `axis`, of unit length together.

    A pyramid at Chebyshev distance D of its centre is Σ_{k≥D} 1/(k+1)², in L1 1/(k+1)⁴.

    >>> _pyramids(2, 2, 0, 2, torch.zeros(1)).sign()
    tensor([[ 1.,  1.],
            [-1., -1.]])
    """
    long, power = (height, width)[axis], 4 if p == 1 else 2
    halves = []
    for length, sign in ((long // 2, 1.0), (long - long // 2, -1.0)):
        size = (length, width) if axis == 0 else (height, length)
        rows, columns = ((torch.arange(n, device=like.device) - n // 2).abs() for n in size)
        distance = torch.maximum(rows.unsqueeze(1), columns.unsqueeze(0))
        terms = 1.0 / torch.arange(1, max(size) // 2 + 2).to(like) ** power
        halves.append(sign * terms.flip(0).cumsum(0).flip(0)[distance])
    pattern = torch.cat(halves, dim=axis)
    total: Tensor = torch.linalg.vector_norm(pattern, p)
    return pattern / total
