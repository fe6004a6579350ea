"""MD: ascent on one term of the margin alone, and then on the margin, against imbalanced gradients."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import FixedBudget
from saddlepoint.attacks.core.stages import each_stage
from saddlepoint.attacks.core.steps import ascend, cosine, start_of, step_length
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.errors import InputError
from saddlepoint.option_values import Count, Share


@dataclass(frozen=True, kw_only=True)
class MarginDecomposition(FixedBudget):
    """The MD attack: where one term of the margin has a far larger gradient than the other, the
    margin follows that term alone, which need not lead out; each term is ascended by itself first.

    The first step goes away from the answer, along +Z_y. The steps after it ascend, by turns of the
    runs, −Z_y or max_{j≠y} Z_j, and the last ones both together. Of other criteria the terms are the
    falling and the rising part of the margin; one logit has only one, which stands for both.

    Args:
        threat: Linf, L2, L1, or Box.
        steps: iterations per run.
        share: of the steps that ascend one term alone, the first included.
        restarts: runs, each from a draw of its own, on what those before have not fooled; the first,
            third … ascend −Z_y, the others the largest other logit.

    α falls along half a cosine from 2·eps to 0, and again from where the margin begins.

    >>> from saddlepoint.threat import Linf
    >>> MarginDecomposition(Linf(8 / 255), steps=50).alone
    20
    """

    steps: Count = 50
    share: Share = 0.4
    restarts: Count = 2

    paper = "Ma et al. 2020, arXiv:2006.13726"
    cost = "steps × restarts (50 × 2) each way, 1 forward per restart"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.keep == "last" and self.restarts > 1:
            raise InputError('keep="last" returns the last restart alone; set restarts to 1')

    @property
    def alone(self) -> int:
        """How many steps of a run ascend one term alone."""
        return round(self.share * self.steps)

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Run every restart on the samples that the ones before have not fooled."""
        runs = (partial(self._run, tracker=tracker, restart=i) for i in range(self.restarts))
        each_stage(batch, tracker, runs)

    def _run(self, active: Batch, tracker: Tracker, restart: int) -> None:
        hundredth = math.prod(active.images.shape[1:]) // 100
        x = start_of(active, "uniform", restart)
        for step in range(self.steps):
            alone = step < self.alone
            begun, length = (0, self.alone) if alone else (self.alone, self.steps - self.alone)
            logits, gradient = active.gradient(
                x, partial(_ascended, active, rising=restart % 2 == 1, first=step == 0)
                if alone else active.loss("margin"),
            )  # fmt: skip
            tracker.record(active, x, logits)
            active, (x, gradient) = tracker.compact(active, x, gradient)
            if not len(active):
                break
            decay = cosine(step - begun, length)
            k = max(1, round(decay * hundredth))  # L1 only
            x = ascend(active, x, gradient, step_length(active, None, 2 * decay), k)
        tracker.offer(active, x)


def _ascended(
    batch: Batch, logits: Float[Tensor, "m k"], *, rising: bool, first: bool
) -> Float[Tensor, " m"]:
    """Return the term of −margin that is ascended by itself; in the `first` step away from the answer."""
    slopes = -batch.margin_slopes(logits)
    falling, rises = slopes.clamp(max=0), slopes.clamp(min=0)
    term, other = (rises, falling) if rising and not first else (falling, rises)
    term = torch.where((term != 0).any(1, keepdim=True), term, other)
    value = torch.where(term != 0, term * logits, 0.0).sum(1)  # a masked class is −inf
    return -value if first else value
