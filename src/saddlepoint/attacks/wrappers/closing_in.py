"""Closing in: Fast's short runs in ever smaller balls, from the nearest image so far."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import Attack, MinimumNorm
from saddlepoint.attacks.core.final_search import final_search
from saddlepoint.attacks.core.kinds import MINIMUM_NORM
from saddlepoint.attacks.core.outside import from_outside
from saddlepoint.attacks.core.stages import stage
from saddlepoint.attacks.core.tracker import Best, Tracker
from saddlepoint.attacks.wrappers.race import check_members
from saddlepoint.attacks.wrappers.short_runs import ShortRun, aimed_runs
from saddlepoint.option_values import Count, Natural

# By which part of the distance a ball is smaller: at first, at least and at most.
_FIRST, _LEAST, _MOST = 0.08, 0.02, 0.5
# Random images to begin with where `first` finds nothing, draws of them, halvings of the way in.
_STARTS, _DRAWS, _HALVINGS = 2, 4, 8
_PULL = 4  # forward passes that pull each success towards the clean image


@dataclass(frozen=True, kw_only=True)
class ClosingIn(MinimumNorm):
    """A minimum-norm attack, then short runs of APGD within balls a little smaller than the nearest
    distance so far: what `Fast` finds at each budget, at all of them in one go.

    1. `first` looks for a distance; where it finds none, random images do that fool.
    2. From a fresh start each, the runs of `Fast` towards the nearest classes, on the targeted DLR and
       on the difference of two logits. Each is within a ball of its own for every image, and ends at
       its first success, which is pulled towards the clean image. After a success the next ball is
       smaller by twice as much, after a failure by half as much.

    Args:
        threat: Linf, L2 or L1, without a budget.
        first: a minimum-norm attack.
        targets, steps: classes that the ratio is run towards, and steps of each run.
        margins, margin_steps: the same of the plain difference.
        bisections: final steps towards the clean image, a forward pass each.

    >>> from saddlepoint.attacks import DDN
    >>> from saddlepoint.threat import L2
    >>> net, images = torch.nn.Flatten(), torch.tensor([[0.9, 0.3, 0.7]])
    >>> attack = ClosingIn(L2(), first=DDN(L2(), steps=3), targets=2, margins=1)
    >>> f"{float(attack(net, images, torch.tensor([0])).distance):.3f}"  # 0.2/√2
    '0.141'
    """

    first: Attack = field(kw_only=True)
    targets: Count = 9
    steps: Count = 20
    margins: Natural = 3
    margin_steps: Count = 30
    bisections: Natural = 10

    norms = ("Linf", "L2", "L1")
    paper = "Croce and Hein 2020, arXiv:2003.01690; Gao et al. 2022, of the short runs"
    cost = "steps × targets + margin_steps × margins (270) each way, and the first attack's"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_members(self, (self.first,))

    @property
    def expected_steps(self) -> int:
        """The passes as a rule; see `Attack`."""
        aimed = self.targets * self.steps + self.margins * self.margin_steps
        return self.first.expected_steps + aimed

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Find a distance, and close in."""
        found = MINIMUM_NORM.found(self.first, batch, tracker)
        tracker.offer(batch, batch.threat.parametrise(found.images[batch.index]))
        lost = batch.at(tracker.distance[batch.index].isinf())
        from_outside(lost, tracker, _STARTS, _DRAWS, _HALVINGS)
        shrunk = torch.full_like(tracker.distance[batch.index], _FIRST)
        counts = (self.targets, self.steps), (self.margins, self.margin_steps)
        for number, run in enumerate(aimed_runs(batch, *counts)):
            shrunk = self._close(batch, tracker, run, number, shrunk)
        final_search(batch, tracker, self.bisections)

    def _close(
        self,
        batch: Batch,
        tracker: Tracker,
        run: ShortRun,
        number: int,
        shrunk: Float[Tensor, " m"],
    ) -> Float[Tensor, " m"]:
        """Run once within balls smaller by the part `shrunk`; return by which the next ones are."""
        before = tracker.distance[batch.index]
        far = before.isinf()
        eps = torch.where(far, _farthest(batch), (1 - shrunk) * before)
        tried = replace(batch, threat=batch.normed.with_eps(eps.to(batch.clean.dtype)))
        inner = Best(tracker.images, "never" if batch.guard.random else "success")
        stage(tried, inner, partial(run.climb, tried, inner, number))
        hit = inner.fooled[batch.index]
        some = batch.at(hit)
        tracker.offer(some, some.threat.parametrise(inner.images[some.index]))
        nearer = tracker.distance[batch.index] < before
        final_search(batch.at(nearer), tracker, _PULL)
        return torch.where(nearer, 2 * shrunk, shrunk / 2).clamp(_LEAST, _MOST)


def _farthest(batch: Batch) -> Float[Tensor, " m"]:
    """Return half of the distance of the farthest image of the range."""
    low, high = batch.bounds
    away = torch.maximum(batch.clean - low, high - batch.clean).clamp(0, 1e3)
    return batch.ball.norm(away) / 2
