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
from saddlepoint.attacks.core.kinds import MINIMUM_NORM
from saddlepoint.attacks.core.replicas import Replicas, replicated
from saddlepoint.attacks.core.restarts import elsewhere
from saddlepoint.attacks.core.stages import stage
from saddlepoint.attacks.core.steps import ascend
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.attacks.fixed_budget.apgd import APGD
from saddlepoint.attacks.minimum_norm.brendel_bethge import BrendelBethge
from saddlepoint.errors import InputError
from saddlepoint.option_values import Count, Positive
from saddlepoint.threat import NormBall, ThreatModel
from saddlepoint.threat.norms import expand

_PASSES = 20_000
# Directions that are tried of each start that is followed.
_DRAWN = 4
# Units of a layer that are looked at, and layers.
_UNITS, _LAYERS = 256, 8
# Samples that are looked at at once, and entries of what their layers hold.
_AT_ONCE, _ENTRIES = 1024, 1 << 25
_TOWARDS = 5
# The clean check and the judge at most, which a result counts too; every search makes more passes.
_BESIDES = 6


@dataclass(frozen=True, kw_only=True)
class Hard(FixedBudget):
    """Searches of different kinds, in turn, on the samples that none has fooled, until a limit.

    1. `APGD` on the margin from a random point, every second time from a corner of the ball; the
       first time from the `starts` of the call.
    2. For each activation in turn (of at most eight, evenly spaced), starts that change which units
       are on: of 256 of its units those that can be switched within the budget are weighted at random,
       and what they get before the activation is raised as far as the budget goes. The gradient of the
       logits says nothing of units that are off; from starts that switch them on APGD on the margin
       finds what no random start does. The starts of smallest margin are followed.
    3. `APGD` towards the other classes of highest logits, nine at most, by the targeted DLR.
    4. In Linf, L2 and L1, `BrendelBethge` from outside.

    The passes of a sample may be many more than those of other attacks. The searches come in a fixed
    order and draw from the sample's own stream, so that as many passes find the same again: what a
    time limit found of an image is repeated by `passes`, the sum of its `forwards` and `backwards`. A
    study takes no attack that the clock ends.

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

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.keep == "last":
            raise InputError('Hard keeps the best of many searches; leave keep="last" out')

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Search until all are fooled or a limit is reached."""
        began, limit = time.monotonic(), self.passes
        if limit is None and self.seconds is None:
            limit = _PASSES
        before, searches = _counts(batch), self._searches(batch)
        for number in itertools.count():
            active = tracker.unfinished(batch)
            if limit is not None:
                spent = (_counts(batch) - before)[active.index] + _BESIDES * batch.guard.samples
                active = active.at(spent < limit)
            late = self.seconds is not None and time.monotonic() - began >= self.seconds
            if not len(active) or late:
                return
            turn, which = divmod(number, len(searches))
            work = partial(searches[which], active, tracker, number, turn)
            stage(active, tracker, work)

    def _searches(self, batch: Batch) -> list[_Search]:
        layers, rows, classes = _layers(batch)
        chosen = sorted({len(layers) * i // _LAYERS for i in range(_LAYERS)}) if layers else []
        found: list[_Search] = [self._plain]
        found += [partial(self._switched, layers[i], rows) for i in chosen]
        if classes >= 4:  # of the targeted DLR's four ranks
            found.append(self._targeted)
        if isinstance(batch.threat, NormBall):
            found.append(self._from_outside)
        return found

    def _plain(self, batch: Batch, tracker: Tracker, number: int, turn: int) -> None:
        own = replace(batch, stages=None)
        if batch.starts is None or number > 0:
            own = elsewhere(own, number, corner=turn % 2 == 1)
        APGD(self.threat, steps=self.steps, loss="margin").perturb(own, tracker)

    def _targeted(self, batch: Batch, tracker: Tracker, number: int, turn: int) -> None:
        own = elsewhere(replace(batch, stages=None), number, corner=False)
        APGD(self.threat, steps=self.steps, loss="dlr-targeted").perturb(own, tracker)

    def _from_outside(self, batch: Batch, tracker: Tracker, number: int, turn: int) -> None:
        own = replace(elsewhere(batch, number, corner=False), starts=None, stages=None)
        free = own.normed.with_eps(math.inf)
        search = BrendelBethge(free, steps=self.steps)
        nearest = MINIMUM_NORM.found(search, replace(own, threat=free), tracker)
        tracker.offer(own, own.project(own.threat.parametrise(nearest.images[own.index])))

    def _switched(
        self, layer: int, rows: int, batch: Batch, tracker: Tracker, number: int, turn: int
    ) -> None:
        own = replace(elsewhere(batch, number, corner=False), starts=None, stages=None)
        several = Replicas(tracker)
        for part in _parts(own, max(1, rows // (_DRAWN * self.starts))):
            x = self._starts(part, several, layer, rows)
            followed = replicated(part, self.starts)
            followed = replace(followed, starts=followed.render(x))
            for piece in _parts(followed, rows):
                APGD(self.threat, steps=self.steps, loss="margin").perturb(piece, several)

    def _starts(
        self, batch: Batch, tracker: Tracker, layer: int, rows: int
    ) -> Float[Tensor, "r ..."]:
        """Return `starts` points of each sample, those of smallest margin of all that were tried."""
        count = _DRAWN * self.starts
        units, reached = _reachable(batch, layer, rows)
        weights = batch.keys.normal((count, units.shape[1])).to(batch.clean.dtype)
        weights = (weights * reached[:, None]).flatten(0, 1)
        units = units.repeat_interleave(count, 0)
        many, points, margins = replicated(batch, count), [], []
        for some in torch.split(torch.arange(len(many), device=units.device), rows):
            piece = many.at(some)
            x = _raised(piece, layer, units[some], weights[some])
            logits = piece.logits(x)
            tracker.record(piece, x, logits)
            points.append(x)
            margins.append(piece.margin(logits))
        margin = torch.cat(margins).reshape(len(batch), count)
        best = margin.argsort(dim=1, stable=True)[:, : self.starts]
        chosen = best + count * torch.arange(len(batch), device=best.device)[:, None]
        return torch.cat(points)[chosen.flatten()]


_Search = Callable[[Batch, Tracker, int, int], None]
"""Of the batch, the tracker, the number of the search, and how often it has been its turn."""


def _layers(batch: Batch) -> tuple[list[int], int, int]:
    """Return the activations that have a row for each sample and depend on the image, how many samples
    may be looked at at once, and the number of classes.
    """
    with pre_activations(batch.guard.model) as seen, batch.guard.exact():
        logits, _ = batch.gradient(batch.clean, batch.loss("margin"))
        first = seen[: len(seen) // batch.guard.samples]
        shapes = [(each.shape, each.requires_grad) for each in first]
        seen.clear()
        twice = replicated(batch, 2)
        twice.logits(twice.clean)
        again = [each.shape for each in seen[: len(shapes)]]
    size, whole = len(batch), math.prod(batch.clean.shape[1:])
    layers = []
    for number, ((shape, depends), other) in enumerate(zip(shapes, again, strict=False)):
        whole += math.prod(shape) // max(size, 1)
        rows = len(shape) > 1 and shape[0] == size and other[0] == 2 * size
        if rows and depends and shape[1:] == other[1:]:
            layers.append(number)
    return layers, max(1, min(_AT_ONCE, _ENTRIES // max(whole, 1))), logits.shape[1]


def _raised(
    batch: Batch, layer: int, units: Int64[Tensor, "r u"], weights: Float[Tensor, "r u"]
) -> Float[Tensor, "r ..."]:
    """Return points of the ball at which the weighted sum of what the units get is large."""
    x, radius = batch.project(batch.clean), batch.threat.radius(batch.images)
    with pre_activations(batch.guard.model) as seen, batch.guard.exact():
        for step in range(_TOWARDS):
            seen.clear()
            _, gradient = batch.gradient(x, lambda _: (_units(seen, layer, units) * weights).sum(1))
            x = ascend(batch, x, gradient, radius * (2.0 if step == 0 else 0.5), _coordinates(x))
    return x


def _reachable(
    batch: Batch, layer: int, rows: int
) -> tuple[Int64[Tensor, "m u"], Bool[Tensor, "m u"]]:
    """Return some units of the layer, and which of them the budget switches at first order; all,
    where that is none.
    """
    with pre_activations(batch.guard.model) as seen, batch.guard.exact():
        batch.logits(batch.clean)
        width = seen[layer].flatten(1).shape[1]
        units = batch.keys.uniform((width,), draw=1).argsort(dim=1)[:, : min(width, _UNITS)]
        many, one = replicated(batch, units.shape[1]), units.flatten()[:, None]
        parts = []
        for some in torch.split(torch.arange(len(many), device=units.device), rows):
            seen.clear()
            parts.append(_switchable(many.at(some), seen, layer, one[some]))
    reached = torch.cat(parts).reshape(units.shape)
    return units, reached | ~reached.any(1, keepdim=True)


def _switchable(
    batch: Batch, seen: list[Tensor], layer: int, unit: Int64[Tensor, "r 1"]
) -> Bool[Tensor, " r"]:
    """Return whether a step of the whole budget brings what the unit gets to the other side of 0."""
    _, gradient = batch.gradient(batch.clean, lambda _: _units(seen, layer, unit)[:, 0])
    now = _units(seen, layer, unit)[:, 0].detach()
    towards = gradient * expand(-now.sign(), gradient)
    full = 2.0 * batch.threat.radius(batch.images)
    there = ascend(batch, batch.clean, towards, full, _coordinates(gradient))
    return (towards * (there - batch.clean)).flatten(1).sum(1) >= now.abs()


def _units(seen: list[Tensor], layer: int, units: Int64[Tensor, "m u"]) -> Float[Tensor, "m u"]:
    return seen[layer].flatten(1).gather(1, units)


def _coordinates(x: Tensor) -> int:
    return max(1, math.prod(x.shape[1:]) // 100)  # that share a step in L1


def _counts(batch: Batch) -> Int64[Tensor, " n"]:
    return batch.guard.forwards + batch.guard.backwards


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
