"""For a handful of images that nothing fools: many searches of different kinds, until time is up."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from saddlepoint.attacks.core.activations import pre_activations
from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import FixedBudget
from saddlepoint.attacks.core.replicas import Replicas, replicated
from saddlepoint.attacks.core.restarts import elsewhere
from saddlepoint.attacks.core.stages import stage
from saddlepoint.attacks.core.steps import ascend
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.attacks.fixed_budget.apgd import APGD
from saddlepoint.attacks.minimum_norm.brendel_bethge import BrendelBethge
from saddlepoint.attacks.wrappers.at_budget import AtBudget
from saddlepoint.option_values import Count, Positive
from saddlepoint.threat import NormBall, ThreatModel

_PASSES = 20_000
# Directions that are tried of each start that is followed.
_DRAWN = 4
# Units of a layer that are looked at, and layers.
_UNITS, _LAYERS = 256, 8
_AT_ONCE = 1024
_TOWARDS = 5
# Passes of the judge at most; every search makes more.
_JUDGED = 4


@dataclass(frozen=True, kw_only=True)
class Hard(FixedBudget):
    """Searches of different kinds, in turn, on the samples that none has fooled, until a limit.

    1. `APGD` on the margin from a random point, every second time from a corner of the ball.
    2. For each layer in turn, starts that change which units are active: of the units that can be
       switched within the budget, a random weighting of what they get before their activation is
       raised or lowered as far as the budget goes (in the first layer that is exact, in a step). The
       gradient of the logits says nothing of units that are off; from starts that switch them on APGD
       on the margin finds what no random start does. The starts of smallest margin are followed.
    3. `APGD` towards each of the nine other classes of highest logits, by the targeted DLR.
    4. In Linf, L2 and L1, `BrendelBethge` from outside.

    The passes of a sample may be many more than those of other attacks. The searches come in a fixed
    order and draw from the sample's own stream, so that as many passes find the same again: a call
    with a time limit is repeated by `passes`, the largest sum of `forwards` and `backwards` in its
    result. A study takes no attack that the clock ends.

    Args:
        seconds: no search begins after so much time.
        passes: no search begins after so many forward and backward passes of a sample; None is 20,000
            where there is no time limit either.
        starts: of each image, followed at once.
        steps: of each search.

    >>> from saddlepoint.threat import Linf
    >>> net, x = torch.nn.Flatten(), torch.tensor([[0.5, 0.4]])
    >>> Hard(Linf(0.06), passes=500)(net, x, torch.tensor([0])).success
    tensor([True])
    """

    seconds: Positive | None = None
    passes: Count | None = None
    starts: Count = 64
    steps: Count = 60

    paper = "Tashiro, Song and Ermon 2020, arXiv:2003.06878, of the starts"
    cost = "20,000 passes, or what a time limit allows"

    @property
    def expected_steps(self) -> int:
        """The passes as a rule; see `Attack`."""
        return (self.passes or _PASSES) // 2

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Search until all are fooled or a limit is reached."""
        began, limit = time.monotonic(), self.passes
        if limit is None and self.seconds is None:
            limit = _PASSES
        searches = self._searches(batch)
        for number in itertools.count():
            active = tracker.unfinished(batch)
            late = self.seconds is not None and time.monotonic() - began >= self.seconds
            if not len(active) or late or (limit is not None and _spent(active) >= limit):
                return
            search = searches[number % len(searches)]
            stage(active, tracker, partial(search, active, tracker, number))

    def _searches(self, batch: Batch) -> list[Callable[[Batch, Tracker, int], None]]:
        one = batch.at(torch.arange(min(len(batch), 1)))
        with pre_activations(batch.guard.model) as seen:
            classes = one.logits(one.clean).shape[1]
        layers = len(seen)
        chosen = sorted({layers * i // _LAYERS for i in range(_LAYERS)}) if layers else []
        found: list[Callable[[Batch, Tracker, int], None]] = [self._plain]
        found += [partial(self._switched, layer) for layer in chosen]
        if classes >= 4:  # of the targeted DLR's four ranks
            found.append(self._targeted)
        if isinstance(batch.threat, NormBall):
            found.append(self._from_outside)
        return found

    def _plain(self, batch: Batch, tracker: Tracker, number: int) -> None:
        own = elsewhere(replace(batch, stages=None), number, corner=number % 2 == 1)
        APGD(self.threat, steps=self.steps, loss="margin").perturb(own, tracker)

    def _targeted(self, batch: Batch, tracker: Tracker, number: int) -> None:
        own = elsewhere(replace(batch, stages=None), number, corner=False)
        APGD(self.threat, steps=self.steps, loss="dlr-targeted").perturb(own, tracker)

    def _from_outside(self, batch: Batch, tracker: Tracker, number: int) -> None:
        own = replace(elsewhere(replace(batch, stages=None), number, corner=False), starts=None)
        free = BrendelBethge(batch.normed.with_eps(math.inf), steps=self.steps)
        AtBudget(free, self.threat).perturb(own, tracker)

    def _switched(self, layer: int, batch: Batch, tracker: Tracker, number: int) -> None:
        own = replace(elsewhere(batch, number, corner=False), starts=None, stages=None)
        for part in _parts(own, max(1, _AT_ONCE // (_DRAWN * self.starts))):
            several = Replicas(tracker)
            x = self._starts(part, several, layer)
            followed = replace(replicated(part, self.starts), starts=None)
            followed = replace(followed, starts=followed.render(x))
            APGD(self.threat, steps=self.steps, loss="margin").perturb(followed, several)

    def _starts(self, batch: Batch, tracker: Tracker, layer: int) -> Float[Tensor, "r ..."]:
        """Return `starts` points of each sample, those of smallest margin of all that were tried."""
        count = _DRAWN * self.starts
        with pre_activations(batch.guard.model) as seen:
            units, reached = _reachable(batch, seen, layer)
            weights = batch.keys.normal((count, units.shape[1])).to(batch.clean.dtype)
            weights = (weights * reached[:, None]).flatten(0, 1)
            many = replicated(batch, count)
            units = units.repeat_interleave(count, 0)
            x = many.project(many.clean)
            radius = many.threat.radius(many.images)
            for step in range(_TOWARDS):
                seen.clear()
                _, gradient = many.gradient(
                    x, lambda _: (_units(seen, layer, units) * weights).sum(1)
                )
                x = ascend(many, x, gradient, radius * (2.0 if step == 0 else 0.5), _coordinates(x))
        logits = many.logits(x)
        tracker.record(many, x, logits)
        margin = many.margin(logits).reshape(len(batch), count)
        best = margin.argsort(dim=1, stable=True)[:, : self.starts]
        rows = best + count * torch.arange(len(batch), device=best.device)[:, None]
        return x[rows.flatten()]


def _reachable(
    batch: Batch, seen: list[Tensor], layer: int
) -> tuple[Int64[Tensor, "m u"], Bool[Tensor, "m u"]]:
    """Return some units of the layer, and which of them the budget switches at first order; all,
    where that is none.
    """
    seen.clear()
    batch.logits(batch.clean)
    width = seen[layer].flatten(1).shape[1]
    order = batch.keys.uniform((width,), draw=1).argsort(dim=1)
    units = order[:, : min(width, _UNITS)]
    many = replicated(batch, units.shape[1])
    seen.clear()
    one = units.flatten()[:, None]
    value: list[Tensor] = []

    def own(_: Tensor) -> Tensor:
        value.append(_units(seen, layer, one)[:, 0])
        return value[-1]

    _, gradient = many.gradient(many.clean, own)
    now = value[-1].detach()
    way = -now.sign()
    towards = gradient * way.reshape(-1, *[1] * (gradient.dim() - 1))
    full = 2.0 * many.threat.radius(many.images)
    there = ascend(many, many.clean, towards, full, _coordinates(gradient))
    gain = (towards * (there - many.clean)).flatten(1).sum(1)
    reached = (gain >= now.abs()).reshape(units.shape)
    return units, reached | ~reached.any(1, keepdim=True)


def _units(seen: list[Tensor], layer: int, units: Int64[Tensor, "m u"]) -> Float[Tensor, "m u"]:
    return seen[layer].flatten(1).gather(1, units)


def _coordinates(x: Tensor) -> int:
    return max(1, math.prod(x.shape[1:]) // 100)  # that share a step in L1


def _spent(batch: Batch) -> int:
    """Return the passes of a sample, with those that the judge will add: a result counts them too."""
    guard = batch.guard
    return int((guard.forwards + guard.backwards)[batch.index].max()) + _JUDGED * guard.samples


def _parts(batch: Batch, rows: int) -> Iterator[Batch]:
    for part in torch.split(torch.arange(len(batch), device=batch.index.device), rows):
        yield batch.at(part)


def hard(threat: ThreatModel, *, seconds: float | None = None, passes: int | None = None) -> Hard:
    """Return the attack for images that nothing else fools, for so many seconds or passes.

    Args:
        threat: Linf, L2, L1 or Box, with its budget.
        seconds, passes: as for `Hard`.

    >>> from saddlepoint.threat import Linf
    >>> hard(Linf(0.1), seconds=600).seconds
    600
    """
    return Hard(threat, seconds=seconds, passes=passes)
