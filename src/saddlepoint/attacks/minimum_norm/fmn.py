"""FMN: a gradient step, then a projection on a ball whose radius closes in on the boundary."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import MinimumNorm
from saddlepoint.attacks.core.criteria import Loss
from saddlepoint.attacks.core.directions import RandomDirections, euclidean
from saddlepoint.attacks.core.final_search import final_search
from saddlepoint.attacks.core.steps import cosine, start_of
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.attacks.geometry.balls import project_ball
from saddlepoint.option_values import BelowOne, Count, Fraction, Natural, Positive
from saddlepoint.threat.norms import expand


@dataclass(frozen=True, kw_only=True)
class FMN(MinimumNorm):
    """Fast minimum norm: δ ← Π(δ + α·g/‖g‖₂) on the ball of radius ε, then clipped to the range.

    g is the gradient of the margin max_{j≠y} Z_j − Z_y. Until a sample is fooled ε is its distance
    to the linearised boundary; from then on it shrinks by γ after a success (to the nearest found
    at most) and grows by γ after a failure. In L0 ε counts features, from 1, and moves by one at
    least.

    Args:
        threat: L0, L1, L2 or Linf, without a budget. L0(per="pixel") keeps or drops all channels
            of a pixel together.
        steps: iterations, a pass each way.
        step_size: α of the first step, a Euclidean length; it falls to a hundredth along half a
            cosine. None is 1, and 10 in Linf.
        gamma: γ of the first step, above 0 and below 1.
        final_gamma: γ of the last step, reached along the same cosine.
        loss: "margin" (max_{j≠y} Z_j − Z_y), as published, or "cross-entropy", which often ends in
            another class.
        unfooled: how ε goes on before the first success: "linear" to the distance of the linearised
            boundary, as published; "grow" by γ at least besides, without which pixels at the bounds
            of the range, which the linearisation takes no notice of, may hold a sample for good.
        bisections: forward passes that end the attack, on the way to the clean image; the paper
            has none.

    Given `starts` are where the search begins, those that fool from the boundary on their way.

    >>> from saddlepoint.threat import L0, Linf
    >>> net, x, y = torch.nn.Flatten(), torch.tensor([[0.9, 0.3]]), torch.tensor([0])
    >>> f"{float(FMN(Linf(), steps=30)(net, x, y).distance):.3f}", FMN(L0())(net, x, y).distance
    ('0.300', tensor([1.], dtype=torch.float64))
    """

    steps: Count = 100
    step_size: Positive | None = None
    gamma: Fraction = 0.05
    final_gamma: BelowOne = 0.001
    loss: Loss = "margin"
    unfooled: Literal["grow", "linear"] = "grow"
    bisections: Natural = 10

    paper = "Pintor et al. 2021, arXiv:2102.12827"
    cost = "steps (100) each way, up to 11 forward"
    paper_options: ClassVar[Mapping[str, Any]] = {"unfooled": "linear", "bisections": 0}

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Step along the gradient, and project on the ball that closes in."""
        p, clean, (low, high) = batch.ball.p, batch.clean, batch.bounds
        farthest = batch.ball.norm(torch.maximum(high - clean, clean - low))
        largest = self.step_size or (10.0 if p == math.inf else 1.0)
        x, random_directions = self._start(batch, tracker), RandomDirections(batch)
        delta = x - clean
        length = batch.ball.norm(delta)
        radius = length.clamp_min(1.0) if p == 0 else torch.full_like(length, math.inf)
        found = torch.zeros_like(length, dtype=torch.bool)
        for step in range(self.steps):
            fall = cosine(step, self.steps)
            gamma = self.final_gamma + (self.gamma - self.final_gamma) * fall
            logits, gradient = batch.gradient(x, batch.loss(self.loss))
            margin = batch.margin(logits).to(length.dtype)
            fooled = margin < 0
            found = found | fooled
            tracker.record(batch, x, logits)
            norm = euclidean(gradient)
            nearest = tracker.distance[batch.index].to(length.dtype)
            if p == 0:
                radius = counted(radius, nearest, fooled, gamma)
            else:
                slope = norm if p == 2 else _dual(gradient, p)
                ahead = length + _distance(margin.abs(), slope, farthest)
                if self.loss != "margin":  # its slope says nothing of the margin's distance
                    ahead = length + (_OTHER_L1 if p == 1 else 1.0) * (ahead - length)
                    ahead = torch.where(nearest.isfinite(), nearest, ahead)
                if self.unfooled == "grow" and step > 0:
                    ahead = torch.maximum(ahead, (1 + gamma) * radius)
                less = torch.minimum((1 - gamma) * radius, nearest)
                more = torch.where(found, (1 + gamma) * radius, ahead)
                radius = torch.where(fooled, less, more)
            radius = torch.minimum(radius, farthest)
            gradient, norm = random_directions.replace_zeros(gradient, norm, step)
            alpha = largest * (0.01 + 0.99 * fall)
            delta.addcmul_(gradient, expand(alpha / norm, x))
            x = project_ball(delta, radius, batch.ball).add_(clean).clamp_(low, high)
            delta = torch.sub(x, clean, out=delta)
            length = batch.ball.norm(delta)
        tracker.offer(batch, x)
        final_search(batch, tracker, self.bisections)

    def _start(self, batch: Batch, tracker: Tracker) -> Tensor:
        """Return the clean images, or the given starts, where they fool at the boundary."""
        start = start_of(batch, "clean", 0)
        if batch.starts is None:
            return start
        final_search(batch, tracker, self.bisections)
        found = tracker.distance[batch.index].isfinite()
        nearest = batch.threat.parametrise(tracker.images[batch.index])
        return torch.where(expand(found, nearest), nearest, start)


# So many times the linearised distance another loss than the margin looks in L1, where few pixels
# carry a change and the bounds of the range cut it short.
_OTHER_L1 = 2.0


def _distance(margin: Tensor, slope: Tensor, farthest: Tensor) -> Tensor:
    """Return the distance to the linearised boundary; the farthest there is without a slope."""
    distance = margin / slope
    # On the boundary itself a ball of radius 0 would hold the sample for good.
    return torch.where(distance > 0, distance, 1e-3 * farthest)


def _dual(gradient: Tensor, p: float) -> Tensor:
    flat = gradient.flatten(1).abs()
    return flat.amax(1) if p == 1 else flat.sum(1)


def counted(
    radius: Float[Tensor, " m"],
    nearest: Float[Tensor, " m"],
    fooled: Bool[Tensor, " m"],
    gamma: float,
) -> Float[Tensor, " m"]:
    """Return the next number of features: by γ, and by one at least.

    >>> counted(torch.tensor([40.0, 40.0]), torch.tensor([37.0, 50.0]), torch.tensor([True, False]), 0.05)
    tensor([37., 42.])
    """
    less = torch.minimum(radius - 1, ((1 - gamma) * radius).floor()).minimum(nearest)
    more = torch.maximum(radius + 1, ((1 + gamma) * radius).floor())
    return torch.where(fooled, less, more).clamp_min(1.0)
