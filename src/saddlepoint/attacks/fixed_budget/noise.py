"""Uniform noise: the control that every real attack must beat, and the shortest whole attack."""

from __future__ import annotations

from dataclasses import dataclass

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import FixedBudget
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.option_values import Count


@dataclass(frozen=True, kw_only=True)
class UniformNoise(FixedBudget):
    """Random search: points drawn uniformly from the ball, the first that fools is kept.

    Args:
        draws: points per image; a forward pass each, no backward.

    >>> from saddlepoint.threat import Linf
    >>> UniformNoise(Linf(0.1)).draws
    100
    """

    draws: Count = 100
    norms = ("Linf", "L2", "L1", "L0", "L2/token", "Box", "Patches")
    paper = "the control: random search"
    cost = "draws (100) forward"
    gradient_free = True

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Draw, look, and keep."""
        for draw in range(self.draws):
            x = batch.project(batch.random_start(restart=draw))
            if draw == self.draws - 1:
                tracker.offer(batch, x)
                return
            tracker.record(batch, x, batch.logits(x))
            batch, _ = tracker.compact(batch)
            if not len(batch):
                return
