"""Adversarial examples that 8-bit images can hold: rounding, then a greedy search nearby."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.kinds import MINIMUM_NORM
from saddlepoint.attacks.core.tracker import Nearest, Tracker
from saddlepoint.attacks.wrappers.wrapper import Wrapper
from saddlepoint.errors import InputError
from saddlepoint.option_values import Count
from saddlepoint.threat import NormBall
from saddlepoint.threat.norms import largest_k


@dataclass(frozen=True, kw_only=True)
class EightBit(Wrapper):
    """A minimum-norm attack whose results are images of 8 bits: whole multiples of 1/levels.

    Args:
        attack: a minimum-norm attack in pixels; clean images should be on the lattice.
        levels: the lattice is the multiples of 1/levels.
        searches: passes each way per sample after rounding, at most.

    >>> from saddlepoint.attacks import DDN
    >>> from saddlepoint.threat import L2
    >>> net, images = torch.nn.Flatten(), torch.tensor([[0.9, 0.2]])
    >>> (EightBit(DDN(L2()), levels=10)(net, images, torch.tensor([0])).adversarials * 10).round()
    tensor([[5., 6.]])
    """

    levels: Count = 255
    searches: Count = 20

    norms = ("Linf", "L2", "L1", "L0")
    paper = "Carlini and Wagner 2017, arXiv:1608.04644"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind is not MINIMUM_NORM or not isinstance(self.threat, NormBall):
            raise InputError("the lattice search takes a minimum-norm attack in pixels")

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Attack, round, and move pixels to a neighbouring level until the image fools again."""
        nearest = Nearest(tracker.images)
        if batch.starts is not None:  # recorded already, but perhaps off the lattice
            nearest.offer(batch, batch.project(batch.starts))
            if isinstance(tracker, Nearest):
                tracker.reset(batch)
        self.attack.perturb(batch, nearest)
        batch = batch.at(nearest.distance[batch.index].isfinite())
        if len(batch):
            lattice_search(batch, tracker, nearest.images[batch.index], self.levels, self.searches)


def lattice_search(batch: Batch, tracker: Tracker, x: Tensor, levels: int, searches: int) -> None:
    """Record lattice points near `x` that fool: the rounded image, or neighbours of it.

    Each search moves the pixels that, by the gradient there, lower the margin the most by one level,
    as few as should do if the margin were linear, and at least twice as many as the time before, as
    long as the image does not fool.

    >>> from saddlepoint.attacks import Misclassified
    >>> from saddlepoint.streams import Keys
    >>> from saddlepoint.model import Guard
    >>> from saddlepoint.threat import L2
    >>> x, rows = torch.tensor([[0.8, 0.2]]), torch.arange(1)
    >>> near = Nearest(x)
    >>> with Guard(torch.nn.Flatten(), 1) as guard:
    ...     batch = Batch(guard, L2(), Misclassified(), x, rows, Keys(0, rows), rows)
    ...     lattice_search(batch, near, torch.tensor([[0.5, 0.501]]), 10, 5)
    >>> [round(float(v), 1) for v in near.images[0]]
    [0.4, 0.5]
    """
    low, high = batch.bounds
    free = low < high
    first, last = (low * levels).ceil(), (high * levels).floor()

    def pixels(grid: Tensor) -> Tensor:
        # A feature that has not moved a level from the clean one stays exactly as it is.
        return torch.where(free, (grid / levels).to(x.dtype), batch.clean)

    grid = (x * levels).round().clamp(first, last)
    fewest = torch.zeros(len(batch), dtype=torch.int64, device=x.device)
    for _ in range(searches):
        z = pixels(grid)
        logits, gradient = batch.gradient(z, batch.margin)
        tracker.record(batch, z, logits)
        go = tracker.distance[batch.index].isinf()
        if not bool(go.any()):
            return
        batch, gradient, grid, fewest = batch.at(go), gradient[go], grid[go], fewest[go]
        free, first, last = free[go], first[go], last[go]
        margin = batch.margin(logits[go]).to(x.dtype)
        towards = -gradient.sign()
        room = torch.where(towards > 0, grid < last, grid > first) & free
        gain = torch.where(room, gradient.abs() / levels, 0.0).flatten(1)
        total = gain.sort(dim=1, descending=True).values.cumsum(1)
        needed = 1 + (total <= margin[:, None]).sum(1)
        fewest = torch.maximum(needed, 2 * fewest).clamp_max(gain.shape[1])
        chosen = (largest_k(gain, fewest) & (gain > 0)).reshape(grid.shape)
        grid = grid + torch.where(chosen, towards, 0.0)
    tracker.offer(batch, pixels(grid))
