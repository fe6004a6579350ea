"""Square: random search over square windows, which needs the model's scores and no gradient."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import FixedBudget
from saddlepoint.attacks.core.criteria import Loss, Targeted
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.attacks.fixed_budget.square_windows import (
    Window,
    as_image,
    inside_of,
    move,
    places,
    sides_of,
    tiles,
)
from saddlepoint.option_values import Count, Share
from saddlepoint.threat import norm_of
from saddlepoint.threat.norms import expand

# Of 10,000 queries: after each of these the share of the image that a window covers is halved.
_HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
# Drawn together: one draw per query would cost more than a small network's forward pass.
_QUERIES_AT_ONCE = 64
# With fewer places than this a window of three, the paper's least in L2 and L1, could not be aimed.
_COARSE = 25


@dataclass(frozen=True, kw_only=True)
class Square(FixedBudget):
    """Random search: a window gets another perturbation of full strength, kept if the loss rises.

    In Linf (and Box) a window takes the upper or the lower bound in each channel; in L2 and L1 it takes
    the budget that another window has, in the shape of two pyramids of opposite sign. Every sample has
    windows of its own. A vector (n, d) is an image of one row, and a window is a run of features.

    Args:
        threat: Linf, L2, L1, or Box.
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
    norms = ("Linf", "L2", "L1", "L2/token", "Box")
    paper = "Andriushchenko et al. 2020, arXiv:1912.00049; L1 Croce and Hein 2021, arXiv:2103.01208"
    cost = "queries (5000) forward"
    gradient_free = True
    whole_inputs = True

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Propose, ask the model, and keep what raises the loss."""
        pyramids = norm_of(self.threat) in ("L2", "L1")
        p = batch.ball.p if pyramids else 2.0
        start, propose = (tiles, move) if pyramids else (_stripes, _flip)
        name = self.loss or ("cross-entropy" if isinstance(batch.criterion, Targeted) else "margin")
        channels, height, width = as_image(batch.images).shape[1:]
        numbers = 6 + 2 * channels
        least = 3 if pyramids and height * width >= _COARSE else 1
        given = batch.starts
        x = start(batch) if given is None else batch.project(batch.threat.parametrise(given))
        trial, highest = x, torch.full_like(x.flatten(1)[:, 0], -torch.inf)
        low, high = batch.bounds if pyramids else _bounds(batch)
        window = Window.of(*sides_of(self.p, height, width, least), p, x)
        for query in range(self.queries - 1):
            part, row = divmod(query, _QUERIES_AT_ONCE)
            if row == 0:
                draws = batch.keys.uniform((_QUERIES_AT_ONCE, numbers), step=part, draw=1)
            if query > 0:
                share = self.p * 0.5 ** sum(query * 10_000 > n * self.queries for n in _HALVINGS)
                if window.sides != sides_of(share, height, width, least):
                    window = Window.of(*sides_of(share, height, width, least), p, x)
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


def _bounds(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the lowest and the highest parameters within budget, range and mask."""
    far = torch.full_like(batch.clean, torch.inf)
    return batch.project(-far), batch.project(far)


def _stripes(batch: Batch) -> Tensor:
    """Return vertical stripes of the lower or upper bound, each channel with its own."""
    low, high = _bounds(batch)
    image = as_image(low)
    up = batch.keys.uniform((image.shape[1], 1, image.shape[3])) < 0.5
    return torch.where(up.expand(image.shape).reshape(low.shape), high, low)


def _flip(batch: Batch, x: Tensor, low: Tensor, high: Tensor, u: Tensor, window: Window) -> Tensor:
    """Return `x` with a window at the lower or upper bound in each channel."""
    image, least, most = as_image(x), as_image(low), as_image(high)
    channels = image.shape[1]
    inside = inside_of(places(u[:, :2], window.sides, image), window.sides)
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
