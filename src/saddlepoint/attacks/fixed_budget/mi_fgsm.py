"""MI-FGSM: steps along a decaying sum of normalised gradients, which carries over local maxima."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import FixedBudget
from saddlepoint.attacks.core.criteria import Loss
from saddlepoint.attacks.core.steps import ascend, start_of, step_length
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.option_values import Count, NonNegative, Positive
from saddlepoint.threat.norms import unit


@dataclass(frozen=True, kw_only=True)
class MIFGSM(FixedBudget):
    """The momentum iterative method: g ← μ·g + ∇L/‖∇L‖₁, x ← Π(x + α·d(g)).

    A zero gradient adds nothing to g, so that no sample becomes NaN.

    Args:
        steps: iterations.
        step_size: α in the units of the budget; None is eps/steps.
        decay: μ ≥ 0, the weight of the past.
        loss: "cross-entropy", through its monotone log-odds log Σ_{j≠y} e^{Z_j} − Z_y, whose
            gradient does not vanish; "margin", max_{j≠y} Z_j − Z_y, the negative of the
            criterion's margin; or "softmax-cross-entropy", as published.

    >>> from saddlepoint.threat import Linf
    >>> MIFGSM(Linf(16 / 255)).decay
    1.0
    """

    steps: Count = 10
    step_size: Positive | None = None
    decay: NonNegative = 1.0
    loss: Loss = "cross-entropy"

    paper = "Dong et al. 2018, arXiv:1710.06081"
    cost = "steps (10) each way, 1 forward"
    paper_options: ClassVar[Mapping[str, Any]] = {"loss": "softmax-cross-entropy"}

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Step along the momentum."""
        k = max(1, math.prod(batch.images.shape[1:]) // 100)
        x = start_of(batch, "clean", restart=0)
        g = torch.zeros_like(x)
        for _ in range(self.steps):
            logits, gradient = batch.gradient(x, batch.loss(self.loss))
            tracker.record(batch, x, logits)
            batch, (x, g, gradient) = tracker.compact(batch, x, g, gradient)
            if not len(batch):
                return
            g = self.decay * g + unit(gradient, 1)
            x = ascend(batch, x, g, step_length(batch, self.step_size, 1 / self.steps), k)
        tracker.offer(batch, x)
