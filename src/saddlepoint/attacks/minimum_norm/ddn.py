"""DDN: a fixed length of the change at every step, shorter after a success and longer after a
failure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import MinimumNorm
from saddlepoint.attacks.core.criteria import Loss
from saddlepoint.attacks.core.directions import Spare, euclidean, usable
from saddlepoint.attacks.core.final_search import final_search
from saddlepoint.attacks.core.steps import cosine, start_of
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.option_values import BelowOne, Count, Fraction, Natural, Positive
from saddlepoint.threat.norms import expand


@dataclass(frozen=True, kw_only=True)
class DDN(MinimumNorm):
    """Decoupled direction and norm: δ ← r·(δ + α·g/‖g‖)/‖δ + α·g/‖g‖‖, clipped to the range.

    The radius r is multiplied by 1 − γ where the last iterate fooled, and by 1 + γ elsewhere. The
    defaults find shorter changes than the paper's in the same passes; see `published`.

    Args:
        threat: L2, without a budget.
        steps: iterations, a pass each way; the best of the paper's settings is 1000.
        step_size: α of the first step, in the units of the distance; it falls to a hundredth along
            half a cosine.
        gamma: γ of the first step, above 0 and below 1.
        final_gamma: γ of the last step, reached along the same cosine.
        radius: r of the first step, in the units of the distance; None is each image's distance
            to the linearised boundary, |m|/‖∇m‖₂ (of the loss "cross-entropy", 1). Where `starts`
            or an earlier run have fooled, it is the distance of the nearest instead.
        loss: "margin" (max_{j≠y} Z_j − Z_y), "cross-entropy", or "both": half of the steps with
            the one, then half from the start again with the other, which often ends in
            another class.
        bisections: forward passes that end the attack, on the segment to the clean image.

    >>> from saddlepoint.threat import L2
    >>> net, x = torch.nn.Flatten(), torch.tensor([[0.9, 0.3]])
    >>> result = DDN(L2(), steps=50)(net, x, torch.tensor([0]))
    >>> f"{float(result.distance):.3f}"  # 0.6/√2
    '0.424'
    """

    steps: Count = 100
    step_size: Positive = 1.0
    gamma: Fraction = 0.05
    final_gamma: BelowOne = 0.001
    radius: Positive | None = None
    loss: Literal["both", Loss] = "both"
    bisections: Natural = 10

    norms = ("L2",)
    paper = "Rony et al. 2019, arXiv:1811.09600"
    cost = "steps (100) each way, 12 forward"
    paper_options: ClassVar[Mapping[str, Any]] = {
        "loss": "softmax-cross-entropy", "final_gamma": 0.05, "radius": 1.0, "bisections": 0,
    }  # fmt: skip

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Turn the change towards the gradient, and rescale it to the radius."""
        if self.loss != "both":
            x = self._run(batch, tracker, self.loss, 0, self.steps)
        else:
            half = self.steps // 2
            x = self._run(batch, tracker, "margin", 0, self.steps - half)
            if half:
                tracker.offer(batch, x)
                x = self._run(batch, tracker, "cross-entropy", self.steps - half, half)
        tracker.offer(batch, x)
        final_search(batch, tracker, self.bisections)

    def _run(self, batch: Batch, tracker: Tracker, loss: Loss, begun: int, steps: int) -> Tensor:
        """Return the last iterate of `steps` steps from the start, which is not recorded."""
        clean, (low, high) = batch.clean, batch.bounds
        farthest = euclidean(torch.maximum(high - clean, clean - low))
        x, spare = start_of(batch, "clean", 0), Spare(batch)
        delta = x - clean
        radius = torch.zeros_like(farthest)
        for step in range(steps):
            fall = cosine(step, steps)
            gamma = self.final_gamma + (self.gamma - self.final_gamma) * fall
            logits, gradient = batch.gradient(x, batch.loss(loss))
            margin = batch.margin(logits)
            fooled = margin < 0
            tracker.record(batch, x, logits)
            norm = euclidean(gradient)
            if step == 0:
                radius = self._first(margin.abs().to(norm.dtype) / norm, farthest, loss)
                nearest = tracker.distance[batch.index].to(radius.dtype)
                radius = torch.where(nearest.isfinite(), nearest, radius)
            gradient, norm = usable(gradient, norm, spare, begun + step)
            radius = torch.where(fooled, (1 - gamma) * radius, (1 + gamma) * radius)
            radius = torch.minimum(radius, farthest)
            alpha = self.step_size * (0.01 + 0.99 * fall)
            delta.addcmul_(gradient, expand(alpha / norm, x))
            scale = radius / euclidean(delta).clamp_min(torch.finfo(x.dtype).tiny)
            x = torch.addcmul(clean, delta, expand(scale, x)).clamp_(low, high)
            delta = torch.sub(x, clean, out=delta)
        return x

    def _first(self, distance: Tensor, farthest: Tensor, loss: Loss) -> Tensor:
        if self.radius is not None:
            return torch.full_like(farthest, self.radius)
        one = torch.minimum(farthest, torch.ones_like(farthest))
        if loss != "margin":
            return one
        # Without a slope there is no linearised distance; a tie on the boundary would stay at 0.
        return torch.where((distance > 0) & (distance < farthest), distance, one)
