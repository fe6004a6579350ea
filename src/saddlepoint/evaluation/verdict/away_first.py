"""Away first: runs that raise the margin before they lower it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Int64
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import FixedBudget
from saddlepoint.attacks.core.losses import objective, others
from saddlepoint.attacks.core.steps import start_of
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.attacks.fixed_budget.apgd_loop import Climb
from saddlepoint.option_values import Count


@dataclass(frozen=True, kw_only=True)
class AwayFirst(FixedBudget):
    """APGD towards the nearest classes in turn, each run from where the margin was raised first.

    Outputs that are bent, as by a reverse sigmoid, fall where the true probability rises, so that the
    gradient leads away from every boundary while the model is confident. To follow it against its
    sense leads out of there (Liu et al. 2022, arXiv:2203.05154, learn from what fooled whether to).

    Args:
        threat: Linf, L2, L1, or Box.
        away: steps that raise the margin.
        steps: steps of each run after them.
        targets: classes, the nearest first.

    >>> from saddlepoint.threat import Linf
    >>> AwayFirst(Linf(0.1)).expected_steps
    300
    """

    away: Count = 10
    steps: Count = 50
    targets: Count = 5

    paper = "Liu et al. 2022, arXiv:2203.05154, of the idea"

    @property
    def expected_steps(self) -> int:
        """The passes as a rule; see `Attack`."""
        return (self.away + self.steps) * self.targets

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Raise the margin, then the targeted ratio, class by class."""
        nearest = list(others(batch, batch.logits(batch.clean), self.targets))
        towards = dict(zip(batch.index.tolist(), range(len(batch)), strict=True))
        for number, classes in enumerate(nearest):
            left = tracker.unfinished(batch)
            if not len(left):
                return
            rows = [towards[each] for each in left.index.tolist()]
            goals = classes[rows].clamp_min(0)
            x = left.project(start_of(left, "uniform", number))
            climb = Climb(_away, self.away)
            left, ascent = climb.run(left, tracker, x, goals)
            if len(left):
                left, ascent = Climb(_ratio, self.steps).run(
                    left, tracker, ascent.x, ascent.targets
                )
                tracker.offer(left, ascent.x)


def _away(batch: Batch, targets: Int64[Tensor, " m"]) -> Callable[[Tensor], Tensor]:
    return batch.margin


def _ratio(batch: Batch, targets: Int64[Tensor, " m"]) -> Callable[[Tensor], Tensor]:
    return objective(batch, "dlr-targeted", targets)
