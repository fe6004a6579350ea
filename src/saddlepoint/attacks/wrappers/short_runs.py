"""Short runs of APGD towards one class each, of which `Fast` makes many within a budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Self

from jaxtyping import Int64
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.losses import objective, others, towards
from saddlepoint.attacks.core.steps import start_of
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.attacks.fixed_budget.apgd_loop import Climb, LossOf

# Runs of a criterion that has no classes to be taken in turn.
_UNAIMED = 3


@dataclass(frozen=True)
class ShortRun:
    """One run from a start of its own.

    Attributes:
        loss: what is raised.
        steps: of APGD.
        rank: of the class that it is towards, by the logits where the image kept so far is; None is
            towards none.

    >>> ShortRun.probe(10).rank is None
    True
    """

    loss: LossOf
    steps: int
    rank: int | None = None

    @classmethod
    def probe(cls, steps: int) -> Self:
        """Return a run on the cross-entropy, towards no class."""
        return cls(_cross_entropy, steps)

    def climb(self, batch: Batch, tracker: Tracker, number: int) -> None:
        """Ascend from the start of that number."""
        targets = batch.goals
        if self.rank is not None:
            kept = batch.threat.parametrise(tracker.images[batch.index])
            ranked = list(others(batch, batch.logits(kept), self.rank + 1))
            if self.rank >= len(ranked):
                return
            some = ranked[self.rank] >= 0
            batch, targets = batch.at(some), ranked[self.rank][some]
        if not len(batch):
            return
        x = start_of(batch, "uniform", number, corner=False)
        climb = Climb(self.loss, self.steps)
        batch, ascent = climb.run(batch, tracker, batch.project(x), targets)
        tracker.offer(batch, ascent.x)


def aimed_runs(
    batch: Batch, ratios: tuple[int, int], differences: tuple[int, int]
) -> list[ShortRun]:
    """Return runs towards the nearest classes in turn: on the targeted DLR, then on the plain difference
    of two logits, whose gradient is another one than the ratio's.

    Args:
        batch: whose criterion and classes they suit.
        ratios, differences: of each kind how many, and the steps of each.
    """
    aimed = batch.aimed is not None
    # Of fewer classes each is aimed at several times, from other starts.
    held = 1 if batch.aimed is None else batch.aimed.holders
    classes = ratios[0] if batch.reference is None else batch.reference.live.shape[1] - held
    return [
        ShortRun(loss if aimed else _own(loss), steps, rank % max(classes, 1) if aimed else None)
        for loss, (count, steps) in ((_ratio, ratios), (_difference, differences))
        for rank in range(count if aimed else min(count, _UNAIMED))
    ]


def _cross_entropy(batch: Batch, targets: Int64[Tensor, " m"]) -> Callable[[Tensor], Tensor]:
    return batch.loss("cross-entropy")


def _ratio(batch: Batch, targets: Int64[Tensor, " m"]) -> Callable[[Tensor], Tensor]:
    return objective(batch, "dlr-targeted", targets)


def _difference(batch: Batch, targets: Int64[Tensor, " m"]) -> Callable[[Tensor], Tensor]:
    return lambda logits: towards(batch, logits, targets)


def _own(loss: LossOf) -> LossOf:
    """Return the loss of the criterion itself in place of one towards a class."""
    name: Literal["dlr", "margin"] = "dlr" if loss is _ratio else "margin"
    return lambda batch, targets: objective(batch, name)
