"""Square: random search over square windows, which needs the model's scores and no gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import FixedBudget
from saddlepoint.attacks.core.criteria import Loss, Targeted
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.option_values import Count, Share
from saddlepoint.threat import norm_of
from saddlepoint.threat.norms import expand, within

# Of 10,000 queries: after each of these the share of the image that a window covers is halved.
_HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
# Drawn together: one draw per query would cost more than a small network's forward pass.
_QUERIES_AT_ONCE = 64
# The start has at least as many tiles each way.
_TILES = 5
# With fewer places than this a window of three, the paper's least in L2, could not be aimed.
_COARSE = 25
_TINY = 1e-300


@dataclass(frozen=True, kw_only=True)
class Square(FixedBudget):
    """Random search: a window gets another perturbation of full strength, kept if the loss rises.

    In Linf (and Box) a window takes the upper or the lower bound in each channel; in L2 it takes the
    budget that another window has, in the shape of two pyramids of opposite sign. Every sample has
    windows of its own. A vector (n, d) is an image of one row, and a window is a run of features.

    Args:
        threat: Linf, L2, or Box.
        queries: forward passes per image at most; the last one confirms what is returned.
        p: the share of the image that the first windows cover; halved nine times on the way.
        loss: "margin" or "cross-entropy"; None is the paper's: the margin, and for targeted
            attacks the cross-entropy.

    >>> from saddlepoint.threat import Linf
    >>> class Rounds(torch.nn.Module):
    ...     def forward(self, x):
    ...         return (8 * x.detach().flatten(1)).round()
    >>> image, label = torch.tensor([[0.8, 0.4]]), torch.tensor([0])
    >>> Square(Linf(0.3), queries=20)(Rounds(), image, label).success
    tensor([True])
    """

    queries: Count = 5000
    p: Share = 0.8
    loss: Loss | None = None
    norms = ("Linf", "L2", "Box")
    paper = "Andriushchenko et al. 2020, arXiv:1912.00049"
    cost = "queries (5000) forward"
    gradient_free = True

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Propose, ask the model, and keep what raises the loss."""
        euclidean = norm_of(self.threat) == "L2"
        start, propose = (_tiles, _move) if euclidean else (_stripes, _flip)
        name = self.loss or ("cross-entropy" if isinstance(batch.criterion, Targeted) else "margin")
        channels, height, width = _as_image(batch.images).shape[1:]
        numbers = 6 + 2 * channels
        least = 3 if euclidean and height * width >= _COARSE else 1
        given = batch.starts
        x = start(batch) if given is None else batch.project(batch.threat.parametrise(given))
        trial, highest = x, torch.full_like(x.flatten(1)[:, 0], -torch.inf)
        low, high = batch.bounds if euclidean else _bounds(batch)
        window = _Window.of(*_sides(self.p, height, width, least), x)
        for query in range(self.queries - 1):
            part, row = divmod(query, _QUERIES_AT_ONCE)
            if row == 0:
                draws = batch.keys.uniform((_QUERIES_AT_ONCE, numbers), step=part, draw=1)
            if query > 0:
                share = self.p * 0.5 ** sum(query * 10_000 > n * self.queries for n in _HALVINGS)
                if window.sides != _sides(share, height, width, least):
                    window = _Window.of(*_sides(share, height, width, least), x)
                trial = propose(batch, x, low, high, draws[:, row], window)
            logits = batch.logits(trial)
            tracker.record(batch, trial, logits)
            value = batch.loss(name)(logits).to(highest.dtype)
            better = value > highest
            x = torch.where(expand(better, x), trial, x)
            highest = torch.where(better, value, highest)
            batch, (x, highest, low, high, draws) = tracker.compact(
                batch, x, highest, low, high, draws
            )
            if not len(batch):
                return
        tracker.offer(batch, x)


@dataclass(frozen=True)
class _Window:
    """The sides of a window, and the two ways in which pyramids lie in it."""

    sides: tuple[int, int]
    pyramids: tuple[Tensor, Tensor]

    @classmethod
    def of(cls, height: int, width: int, like: Tensor) -> _Window:
        return cls(
            (height, width), (_pyramids(height, width, 0, like), _pyramids(height, width, 1, like))
        )


def _as_image(x: Float[Tensor, "m ..."]) -> Float[Tensor, "m c h w"]:
    """Return a view of `x` with channels, rows and columns; a vector is one row."""
    channels = x.shape[1] if x.ndim > 2 else 1
    return x.reshape(len(x), channels, -1, x.shape[-1])


def _sides(share: float, height: int, width: int, least: int) -> tuple[int, int]:
    """Return the sides of a window of that share of the image: a square where it fits.

    >>> _sides(0.25, 8, 8, 1), _sides(0.25, 1, 16, 1), _sides(0.01, 8, 8, 3)
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


def _places(u: Float[Tensor, "m 2"], sides: tuple[int, int], x: Tensor) -> tuple[Tensor, Tensor]:
    """Return how far each row (m, h) and each column (m, w) is from the corner of its window."""
    away = []
    for axis, (side, size) in enumerate(zip(sides, x.shape[2:], strict=True)):
        first = (u[:, axis] * (size - side + 1)).long().clamp_max(size - side)
        away.append(torch.arange(size, device=x.device) - first[:, None])
    return away[0], away[1]


def _inside(away: tuple[Tensor, Tensor], sides: tuple[int, int]) -> Bool[Tensor, "m 1 h w"]:
    rows, columns = ((a >= 0) & (a < side) for a, side in zip(away, sides, strict=True))
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def _signs(u: Float[Tensor, "m ..."]) -> Float[Tensor, "m ..."]:
    return 2.0 * (u < 0.5) - 1.0


def _bounds(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the lowest and the highest parameters within budget, range and mask."""
    far = torch.full_like(batch.clean, torch.inf)
    return batch.project(-far), batch.project(far)


def _stripes(batch: Batch) -> Tensor:
    """Return vertical stripes of the lower or upper bound, each channel with its own."""
    low, high = _bounds(batch)
    image = _as_image(low)
    up = batch.keys.uniform((image.shape[1], 1, image.shape[3])) < 0.5
    return torch.where(up.expand(image.shape).reshape(low.shape), high, low)


def _flip(batch: Batch, x: Tensor, low: Tensor, high: Tensor, u: Tensor, window: _Window) -> Tensor:
    """Return `x` with a window at the lower or upper bound in each channel."""
    image, least, most = _as_image(x), _as_image(low), _as_image(high)
    channels = image.shape[1]
    inside = _inside(_places(u[:, :2], window.sides, image), window.sides)
    up = u[:, 6 : 6 + channels, None, None] < 0.5
    trial = torch.where(inside, torch.where(up, most, least), image)
    # A window that changes nothing would waste its query: it turns over in one channel or more.
    same = (trial == image).flatten(1).all(1)
    flips = u[:, 6 + channels : 6 + 2 * channels] < 0.5
    flips |= ~flips.any(1, keepdim=True) & (
        torch.arange(channels, device=x.device) == (u[:, 2:3] * channels).long()
    )
    up = up ^ (flips & same[:, None])[:, :, None, None]
    return torch.where(inside, torch.where(up, most, least), image).reshape(x.shape)


def _tiles(batch: Batch) -> Tensor:
    """Return the whole budget on tiles, of a random sign in each channel."""
    low, high = batch.bounds
    image = _as_image(low)
    channels, height, width = image.shape[1:]
    sides = max(1, height // _TILES), max(1, width // _TILES)
    shape = height // sides[0], width // sides[1]
    signs = _signs(batch.keys.uniform((channels, *shape))).to(image.dtype)
    signs = signs.repeat_interleave(sides[0], 2).repeat_interleave(sides[1], 3)
    tiled = signs * _pyramids(*sides, 0 if sides[0] > 1 else 1, image).repeat(shape)
    delta = torch.zeros_like(image)
    top, left = (height - tiled.shape[2]) // 2, (width - tiled.shape[3]) // 2
    delta[:, :, top : top + tiled.shape[2], left : left + tiled.shape[3]] = tiled
    return _spent(batch, delta.reshape(low.shape), low, high)


def _move(batch: Batch, x: Tensor, low: Tensor, high: Tensor, u: Tensor, window: _Window) -> Tensor:
    """Return `x` with one window emptied, and its budget added to another as two pyramids."""
    clean = batch.clean
    delta, sides = _as_image(x - clean), window.sides
    channels, split = delta.shape[1], (u[:, 4] < 0.5) & (sides[0] > 1)
    away, other = _places(u[:, :2], sides, delta), _places(u[:, 2:4], sides, delta)
    filled, emptied = _inside(away, sides), _inside(other, sides)
    rows, columns = (a.clamp(0, side - 1) for a, side in zip(away, sides, strict=True))
    shaped = [pattern[rows.unsqueeze(2), columns.unsqueeze(1)] for pattern in window.pyramids]
    fresh = torch.where(split[:, None, None], shaped[0], shaped[1])[:, None] * filled
    eps = batch.threat.radius(batch.images)
    free = (eps**2 - delta.square().sum((1, 2, 3))).clamp_min(0) / channels
    taken = torch.where(filled | emptied, delta, 0.0).square().sum((2, 3), keepdim=True)
    budget = (taken + free[:, None, None, None]).sqrt()
    old = torch.where(filled, delta, 0.0)
    mixed = _signs(u[:, 6 : 6 + channels, None, None]).to(x.dtype) * fresh + _unit_channels(old)
    delta = torch.where(filled, budget * _unit_channels(mixed), delta.masked_fill(emptied, 0.0))
    return _spent(batch, delta.reshape(x.shape), low, high)


def _unit_channels(x: Float[Tensor, "m c h w"]) -> Float[Tensor, "m c h w"]:
    size = x.square().sum((2, 3), keepdim=True).sqrt()
    return x / torch.where(size > 0, size, 1.0)


def _spent(batch: Batch, delta: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return the clean parameters plus `delta` at the length of the whole budget, clipped."""
    size = torch.linalg.vector_norm(delta.flatten(1), dim=1, dtype=torch.float64)
    length = (batch.ball.eps_after_rounding(batch.clean) / size.clamp_min(_TINY)).to(delta.dtype)
    return within(batch.clean, expand(length, delta) * delta).clamp(low, high)


def _pyramids(height: int, width: int, axis: int, like: Tensor) -> Float[Tensor, "h w"]:
    """Return two pyramids of opposite sign side by side along `axis`, of unit length together.

    A pyramid at Chebyshev distance D of its centre is Σ_{k≥D} 1/(k+1)².

    >>> _pyramids(2, 2, 0, torch.zeros(1)).sign()
    tensor([[ 1.,  1.],
            [-1., -1.]])
    """
    long = (height, width)[axis]
    halves = []
    for length, sign in ((long // 2, 1.0), (long - long // 2, -1.0)):
        size = (length, width) if axis == 0 else (height, length)
        rows, columns = ((torch.arange(n, device=like.device) - n // 2).abs() for n in size)
        distance = torch.maximum(rows.unsqueeze(1), columns.unsqueeze(0))
        terms = 1.0 / torch.arange(1, max(size) // 2 + 2, device=like.device).to(like.dtype) ** 2
        halves.append(sign * terms.flip(0).cumsum(0).flip(0)[distance])
    pattern = torch.cat(halves, dim=axis)
    return pattern / pattern.square().sum().sqrt()
