"""Brendel-Bethge: from outside to the boundary, and along it, each step the best of a trust region."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import MinimumNorm
from saddlepoint.attacks.core.final_search import final_projection
from saddlepoint.attacks.core.outside import from_outside
from saddlepoint.attacks.core.reach import reach
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.attacks.geometry.trust_regions import trust_region_step
from saddlepoint.option_values import BelowOne, Count, Interval, Natural, NonNegative, Positive


@dataclass(frozen=True, kw_only=True)
class BrendelBethge(MinimumNorm):
    """Brendel-Bethge: start where the model is fooled, and follow the boundary towards the image.

    With the margin m and its gradient b at the iterate x, the step δ is the one that comes nearest to
    the clean image among those with ⟨b, δ⟩ = c, ‖δ‖₂ ≤ r and x + δ in the range, c = −m at first
    order; where there is none, the largest one towards that boundary. r is halved at equal distances.

    Args:
        threat: Linf(), L2(), L1() or L0().
        steps: iterations, a pass each way.
        radius: r of the first step as a share of the number of features times the width of the range:
            7.8 on MNIST, 31 on CIFAR. The published one is 0.001, from which r soon is too small for
            the way that is left.
        halvings: how often r is halved over the whole run, at equal distances.
        least: r is never below so many widths of the range; None is 0, and no limit at all in L0,
            where a feature goes back to the clean image in one step or not.
        overshoot: o; c = −o·m where x does not fool, and −(2 − o)·m where it does, so that the step
            ends outside. 1 aims at the boundary itself.
        momentum: what is left of the mean of the gradients before, at each step.
        starts: random images that fool, of which the nearest boundary is followed; none where `starts`
            of the call, or an earlier run, have fooled.
        draws: random images that are tried at most.
        halved: forward passes of the way from each start to the boundary.
        bisections: forward passes that end the attack, on the way to the clean image, after a look at
            the optimum of the boundary linearised at the nearest. 0 has neither, as published.

    >>> from saddlepoint.threat import L2
    >>> net, x = torch.nn.Flatten(), torch.tensor([[0.9, 0.3]])
    >>> result = BrendelBethge(L2(), steps=20, radius=0.2)(net, x, torch.tensor([0]))
    >>> f"{float(result.distance):.3f}"  # 0.6/√2
    '0.424'
    """

    steps: Count = 100
    radius: Positive = 0.01
    halvings: Natural = 10
    least: NonNegative | None = None
    overshoot: Annotated[float, Interval("[1, 2)")] = 1.1
    momentum: BelowOne = 0.8
    starts: Count = 10
    draws: Natural = 100
    halved: Natural = 5
    bisections: Natural = 10

    norms = ("Linf", "L2", "L1", "L0")
    paper = "Brendel et al. 2019, arXiv:1907.01003"
    cost = "steps (100) each way, some 80 forward (at most 170)"
    paper_options: ClassVar[Mapping[str, Any]] = {
        "steps": 1000, "radius": 0.001, "halvings": 20, "least": 0.0, "starts": 1, "halved": 10,
        "bisections": 0,
    }  # fmt: skip

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Find a start, follow the boundary from there, and search the way to the clean image."""
        x = from_outside(batch, tracker, self.starts, self.draws, self.halved)
        tracker.offer(batch, self._follow(batch, tracker, x))
        final_projection(batch, tracker, self.bisections)

    def _follow(self, batch: Batch, tracker: Tracker, x: Tensor) -> Float[Tensor, "m ..."]:
        """Return the last iterate, which is not recorded."""
        clean, (low, high), p = batch.clean, reach(batch), batch.ball.p
        least, most = batch.bounds
        width = (most - least).flatten(1).amax(1).nan_to_num(posinf=1.0).clamp_max(1e6)
        radius = self.radius * math.prod(clean.shape[1:]) * width
        whole = math.sqrt(math.prod(clean.shape[1:])) if p == 0 else 0.0
        least = width * (whole if self.least is None else self.least)
        boundary = torch.zeros_like(x)
        for step in range(self.steps):
            logits, gradient = batch.gradient(x, batch.loss("margin"))
            tracker.record(batch, x, logits)
            margin = batch.margin(logits)
            # batch.loss("margin") is the negative margin
            boundary = (
                -gradient
                if step == 0
                else self.momentum * boundary - (1 - self.momentum) * gradient
            )
            change = torch.where(margin < 0, (2 - self.overshoot), self.overshoot) * -margin
            r = (radius * 0.5 ** (step * (self.halvings + 1) // self.steps)).maximum(least)
            # what is left over of the trust region is gone in the next step
            x, _ = trust_region_step(
                clean, x, boundary, change, low, high, r, p, tolerance=0.1, looks=12
            )
            x = x.clamp(low, high)
        return x
