"""DDN: δ is rescaled to radius ε_k at every step; ε_k shrinks by 1 − γ where the iterate fools and
grows by 1 + γ elsewhere.
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
from saddlepoint.attacks.core.directions import RandomDirections, euclidean
from saddlepoint.attacks.core.final_search import final_search
from saddlepoint.attacks.core.steps import cosine, start_of
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.option_values import BelowOne, Count, Fraction, Natural, Positive
from saddlepoint.threat.norms import expand


@dataclass(frozen=True, kw_only=True)
class DDN(MinimumNorm):
    """Decoupled direction and norm: δ ← ε_k·(δ + α·g/‖g‖)/‖δ + α·g/‖g‖‖, clipped to the range.

    The radius ε_k is multiplied by 1 − γ where the last iterate fooled, and by 1 + γ elsewhere. The
    defaults find shorter changes than the paper's in the same passes; see `published`. The paper
    also rounds every iterate to 8 bits, which this does not; see `EightBit`.

    Args:
        threat: L2, without a budget.
        steps: iterations, a pass each way; the paper's strongest setting is 1000.
        step_size: α of the first step, in the units of the distance; it decays to a hundredth along
            half a cosine.
        gamma: γ of the first step, above 0 and below 1.
        final_gamma: γ of the last step, reached along the same cosine.
        radius: ε_0, in the units of the distance; None is each image's distance to the linearised
            boundary, |m|/‖∇m‖₂ with the margin m (where the margin is not the loss, 1). Where
            `starts` or an earlier run have fooled, it is the distance of the nearest instead.
        loss: "margin", max_{j≠y} Z_j − Z_y, the negative of the criterion's margin;
            "cross-entropy", through its monotone log-odds log Σ_{j≠y} e^{Z_j} − Z_y, whose
            gradient does not vanish; "softmax-cross-entropy", as published; or "both": half of the
            steps with "margin", then half from the start again with "cross-entropy", which often
            ends in another class.
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
    cost = "steps (100) each way, up to 12 forward"
    paper_options: ClassVar[Mapping[str, Any]] = {
        "loss": "softmax-cross-entropy", "final_gamma": 0.05, "radius": 1.0, "bisections": 0,
    }  # fmt: skip

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Run the loop with the loss, or with both in turn; then search the segment to the image."""
        if self.loss != "both":
            x = self._run(batch, tracker, self.loss, 0, self.steps)
        else:
            half = self.steps // 2
            x = self._run(batch, tracker, "margin", 0, self.steps - half)
            if half:
                tracker.offer(batch, x)  # the second half starts elsewhere, and does not pass it
                x = self._run(batch, tracker, "cross-entropy", self.steps - half, half)
        tracker.offer(batch, x)
        final_search(batch, tracker, self.bisections)

    def _run(self, batch: Batch, tracker: Tracker, loss: Loss, begun: int, steps: int) -> Tensor:
        """Return the last iterate of `steps` steps from the start, which is not recorded."""
        clean, (low, high) = batch.clean, batch.bounds
        max_distance = euclidean(torch.maximum(high - clean, clean - low))
        x, random_directions = start_of(batch, "clean", 0), RandomDirections(batch)
        delta = x - clean
        eps_k = torch.zeros_like(max_distance)
        for step in range(steps):  # nobody leaves: where x fools, the search goes on nearer
            decay = cosine(step, steps)
            gamma = self.final_gamma + (self.gamma - self.final_gamma) * decay
            logits, gradient = batch.gradient(x, batch.loss(loss))
            margin = batch.margin(logits)
            fooled = margin < 0
            tracker.record(batch, x, logits)
            norm = euclidean(gradient)
            if step == 0:
                eps_k = self._first_radius(margin.abs().to(norm.dtype) / norm, max_distance, loss)
                nearest = tracker.distance[batch.index].to(eps_k.dtype)
                eps_k = torch.where(nearest.isfinite(), nearest, eps_k)
            gradient, norm = random_directions.replace_zeros(gradient, norm, begun + step)
            # ε_k; no image of the range is farther than max_distance, and a radius that grew on
            # beyond it would take as many steps to come back
            eps_k = torch.where(fooled, (1 - gamma) * eps_k, (1 + gamma) * eps_k)
            eps_k = torch.minimum(eps_k, max_distance)
            # δ += α·g/‖g‖
            alpha = self.step_size * (0.01 + 0.99 * decay)
            delta.addcmul_(gradient, expand(alpha / norm, x))
            # onto the sphere of radius ε_k, and clip
            scale = eps_k / euclidean(delta).clamp_min(torch.finfo(x.dtype).tiny)
            x = torch.addcmul(clean, delta, expand(scale, x)).clamp_(low, high)
            delta = torch.sub(x, clean, out=delta)
        return x

    def _first_radius(self, linearised: Tensor, max_distance: Tensor, loss: Loss) -> Tensor:
        """Return ε_0 from the distance to the `linearised` boundary; see `radius`."""
        if self.radius is not None:
            return torch.full_like(max_distance, self.radius)
        one = max_distance.clamp_max(1)
        if loss != "margin":
            return one
        # A zero gradient has no linearised boundary; a tie is on it, and 0 would stay 0.
        return torch.where((linearised > 0) & (linearised < max_distance), linearised, one)
