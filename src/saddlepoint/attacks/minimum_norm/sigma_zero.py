"""σ-zero: Adam on the margin and a smooth count of the changes; small changes are put back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.attacks.core.adam import EPSILON, Adam
from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import MinimumNorm
from saddlepoint.attacks.core.final_search import final_search
from saddlepoint.attacks.core.steps import cosine, start_of
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.option_values import Count, Natural, NonNegative, Positive
from saddlepoint.threat.norms import expand


@dataclass(frozen=True, kw_only=True)
class SigmaZero(MinimumNorm):
    """Minimise max(m, 0) + mean δ²/(δ² + σ), and put back every |δ| below a threshold τ.

    The gradient is divided by its largest entry and followed by Adam. τ rises after a success and
    falls after a failure. With L0(per="pixel") δ² is the sum over a pixel's channels, and a pixel
    is put back when its largest |δ| is below τ.

    Args:
        threat: L0, without a budget.
        steps: iterations, a pass each way.
        step_size: η of the first step, in the units of the image; it falls to a tenth along half a
            cosine.
        sigma: σ, above 0: how sharp the smooth count is.
        threshold: τ of the first step, in the units of the image.
        threshold_step: the change of τ at every step, as a share of η.
        bisections: forward passes that follow, in each of which half of the smallest changes in
            doubt are put back; 0 as published.
        prunings: forward passes that end the attack, in each of which one change more is put
            back, those that the linearised margin needs least first; 0 as published.

    >>> from saddlepoint.threat import L0
    >>> net, x = torch.nn.Flatten(), torch.tensor([[0.9, 0.3, 0.2]])
    >>> SigmaZero(L0(), steps=20)(net, x, torch.tensor([0])).distance
    tensor([1.], dtype=torch.float64)
    """

    steps: Count = 1000
    step_size: Positive = 1.0
    sigma: Positive = 1e-3
    threshold: NonNegative = 0.3
    threshold_step: NonNegative = 0.01
    bisections: Natural = 10
    prunings: Natural = 50

    norms = ("L0",)
    paper = "Cinà et al. 2025, arXiv:2402.01879"
    cost = "steps (1000) each way, up to 63 forward"
    paper_options: ClassVar[Mapping[str, Any]] = {"bisections": 0, "prunings": 0}

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Step with Adam, clip, and put back what is below the threshold."""
        clean, (low, high) = batch.clean, batch.bounds
        x = start_of(batch, "clean", 0)
        delta = x - clean
        adam = Adam(clean)
        length = torch.zeros_like(clean.flatten(1)[:, 0])
        tau, eta = torch.full_like(length, self.threshold), self.step_size
        for step in range(self.steps):
            logits, gradient = batch.gradient(x, _hinge(batch))
            fooled = batch.margin(logits) < 0
            tracker.record(batch, x, logits)
            rows = (tracker.distance[batch.index] > 1).nonzero().squeeze(1)
            if len(rows) < len(batch):  # nothing is nearer than one change
                batch, fooled = batch.at(rows), fooled[rows]
                clean, low, high, delta, gradient, tau = (
                    v[rows] for v in (clean, low, high, delta, gradient, tau)
                )
                adam.drop_to(rows)
                if not len(batch):
                    return
            gradient = gradient + self._slope(delta, batch.ball.group(delta))
            largest = torch.linalg.vector_norm(gradient.flatten(1), ord=math.inf, dim=1)
            gradient /= expand(largest.clamp_min(1e-30), x)
            adam.update(gradient)
            scale = adam.square.sqrt().div_(adam.square_part**0.5).add_(EPSILON)
            x = delta.addcdiv_(adam.mean, scale, value=-eta / adam.mean_part)
            x = x.add_(clean).clamp_(low, high)
            eta = self.step_size * (0.1 + 0.9 * cosine(step, self.steps))
            move = self.threshold_step * eta
            tau = torch.where(fooled, tau + move, tau - move).clamp_(0, 1)
            delta = put_back(x - clean, tau, batch.ball.group(clean))
            x = clean + delta
            length = batch.ball.norm(delta)
        tracker.offer(batch, x)
        final_search(batch, tracker, self.bisections)
        prune(batch, tracker, self.prunings)

    def _slope(self, delta: Tensor, channels: int) -> Tensor:
        """Return the gradient of mean δ²/(δ² + σ), 2δσ/(δ² + σ)²/d."""
        square = delta.square()
        if channels > 1:
            square = square.reshape(len(delta), channels, -1).sum(1, keepdim=True)
            square = square.expand(-1, channels, -1).reshape(delta.shape)
        count = delta[0].numel() // channels
        return delta * (2 * self.sigma / count) / (square + self.sigma).square_()


def _hinge(batch: Batch) -> Callable[[Tensor], Tensor]:
    return lambda logits: batch.margin(logits).clamp_min(0)


def put_back(
    delta: Float[Tensor, "m ..."], tau: Float[Tensor, " m"], channels: int
) -> Float[Tensor, "m ..."]:
    """Return the changes of at least τ, or of the pixels whose largest is.

    >>> put_back(torch.tensor([[0.1, -0.5]]), torch.tensor([0.3]), 1)
    tensor([[ 0.0000, -0.5000]])
    """
    large = delta.abs() >= expand(tau, delta)
    if channels > 1:
        large = large.reshape(len(delta), channels, -1).any(1)
        large = large.repeat(1, channels).reshape(delta.shape)
    return torch.where(large, delta, 0.0)


def prune(batch: Batch, tracker: Tracker, tries: int) -> None:
    """Put back one change after the other of the kept image, where it still fools without it.

    The order is that of each change's part in the linearised margin, least first. First the changes
    are carried to the bounds of the range where that lowers the margin: L0 asks nothing for it.
    """
    found = batch.at(tracker.distance[batch.index].isfinite() & (tracker.distance[batch.index] > 1))
    if not len(found) or not tries:
        return
    x, order = _at_bounds(found, tracker)
    count = found.ball.norm(x - found.clean).long()
    for turn in range(tries):
        left = (turn < count).nonzero().squeeze(1)
        if not len(left):
            return
        if len(left) < len(found):
            found, x, order, count = found.at(left), x[left], order[left], count[left]
        channels, clean = found.ball.group(x), found.clean
        dropped = torch.zeros_like(order, dtype=torch.bool).scatter_(
            1, order[:, turn : turn + 1], True
        )
        z = torch.where(dropped.repeat(1, channels).reshape(x.shape), clean, x)
        logits = found.logits(z)
        before = tracker.distance[found.index]
        tracker.record(found, z, logits)
        nearer = tracker.distance[found.index] < before
        x = torch.where(expand(nearer, x), z, x)


def _at_bounds(batch: Batch, tracker: Tracker) -> tuple[Tensor, Tensor]:
    """Return the kept images with their changes at the bounds where that fools by a larger margin,
    and the changes in the order of their part in the margin (the unchanged features last).
    """
    x, clean = batch.threat.parametrise(tracker.images[batch.index]), batch.clean
    low, high = batch.bounds
    logits, gradient = batch.gradient(x, batch.loss("margin"))
    moved = torch.where(x == clean, x, torch.where(gradient > 0, high, low))
    moved = torch.where((gradient == 0) | (moved == clean), x, moved)
    better = batch.margin(batch.logits(moved)) < batch.margin(logits)
    x = torch.where(expand(better, x), moved, x)
    delta = x - clean
    channels = batch.ball.group(x)
    part = (gradient * delta).reshape(len(x), channels, -1).sum(1)
    changed = (delta != 0).reshape(len(x), channels, -1).any(1)
    return x, torch.where(changed, part, torch.inf).argsort(dim=1, stable=True)
