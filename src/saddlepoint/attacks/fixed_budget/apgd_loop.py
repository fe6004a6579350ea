"""APGD's loop over steps, for whatever loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float, Int64
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.attacks.fixed_budget.apgd_steps import Ascent, Momentum, Sparse, checkpoints
from saddlepoint.threat import norm_of

LossOf = Callable[[Batch, Int64[Tensor, " m"]], Callable[[Tensor], Tensor]]
"""From the samples and their targets to a loss: from logits (m, k) to a number per sample (m,)."""


@dataclass(frozen=True)
class Climb:
    """Ascent with momentum, in L1 by sparse steps, with APGD's rule for the step size.

    Attributes:
        loss: what is raised.
        steps: N, a pass each way.
        rho: ρ, the share of the steps between two checkpoints that must raise the loss.
        first: is shown the first logits.

    >>> Climb(lambda batch, targets: batch.loss("margin"), steps=20).rho
    0.75
    """

    loss: LossOf
    steps: int
    rho: float = 0.75
    first: Callable[[Batch, Tensor], None] = lambda batch, logits: None

    def run(
        self,
        batch: Batch,
        tracker: Tracker,
        x: Float[Tensor, "m ..."],
        targets: Int64[Tensor, " m"],
        random_start: bool = True,
    ) -> tuple[Batch, Ascent]:
        """Take the steps from `x`; return what is left of the batch, and where it is."""
        ascent = Ascent.begin(x, targets)
        rule: Momentum | Sparse
        if norm_of(batch.threat) == "L1":
            # paper: every max(⌊0.04·N⌋, 1) steps
            rule, every = Sparse.begin(batch, x, random_start), max(1, self.steps // 25)
            interval_at = dict.fromkeys(range(every, self.steps, every), every)
        else:
            rule, interval_at = Momentum.begin(batch, x), checkpoints(self.steps)
        for step in range(self.steps):
            loss = self.loss(batch, ascent.targets)
            logits, gradient = batch.gradient(ascent.x, loss)
            tracker.record(batch, ascent.x, logits)
            if step == 0:
                self.first(batch, logits)
            ascent = ascent.observe(loss(logits), gradient)
            batch, state = tracker.compact(batch, *ascent, *rule)
            ascent, rule = Ascent(*state[: len(ascent)]), type(rule)(*state[len(ascent) :])
            if not len(batch):
                break
            rule, ascent = rule.adapt(batch, ascent, interval_at.get(step, 0), self.rho)
            rule, x = rule.move(batch, ascent, step == 0)
            ascent = ascent._replace(x=x)
        return batch, ascent
