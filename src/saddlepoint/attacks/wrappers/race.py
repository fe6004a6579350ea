"""A race over the other classes: which of them is nearest is found by trying."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import Attack, MinimumNorm
from saddlepoint.attacks.core.criteria import Targeted
from saddlepoint.attacks.core.kinds import MINIMUM_NORM
from saddlepoint.attacks.core.linearise import linearise
from saddlepoint.attacks.core.tracker import Nearest, Tracker
from saddlepoint.attacks.wrappers.restarted import Restarted
from saddlepoint.counts import check_count
from saddlepoint.errors import InputError

CLASSES = 9
"""How many other classes are aimed at, those of highest logits: all of ten."""

_ENTRIES = 1 << 18  # of images that are attacked at once: 85 images of 32×32×3


@dataclass(frozen=True, kw_only=True)
class Race(MinimumNorm):
    """Successive halving over the other classes: short runs towards each, longer ones towards those
    that proved near.

    Before the first round the classes are ranked by the distance of their linearised boundary, then
    by the nearest that the rounds before found. With fewer classes than a round has runs, the
    runs left over start from random points; see `Restarted`.

    Args:
        rounds: minimum-norm attacks, and towards how many of the nearest classes each is run.

    >>> from saddlepoint.attacks import DDN
    >>> from saddlepoint.threat import L2
    >>> short, long = DDN(L2(), steps=5), DDN(L2(), steps=50)
    >>> net, images = torch.nn.Flatten(), torch.tensor([[0.9, 0.3, 0.7]])
    >>> found = Race(L2(), rounds=((short, 2), (long, 1)))(net, images, torch.tensor([0]))
    >>> f"{float(found.distance):.3f}"  # 0.2/√2
    '0.141'
    """

    rounds: tuple[tuple[Attack, int], ...] = field(kw_only=True)

    paper = "Jamieson and Talwalkar 2016, arXiv:1502.07943, of the halving"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_members(self, tuple(attack for attack, _ in self.rounds))
        for attack, runs in self.rounds:
            check_count(f"{type(attack).__name__}: classes that it is run towards", runs)

    @property
    def expected_steps(self) -> int:
        """The passes as a rule; see `Attack`."""
        return sum(attack.expected_steps * runs for attack, runs in self.rounds)

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Run every round towards the classes that are nearest so far."""
        standing = Standing.begin(batch)
        for attack, runs in self.rounds:
            standing = standing.after(batch, tracker, attack, runs)


@dataclass(frozen=True, eq=False)
class Standing:
    """How near each other class has proved.

    Attributes:
        classes: (m, k) those that are aimed at; None where the criterion has one boundary alone.
        linearised: (m, k) the distances of their linearised boundaries.
        found: (m, k) the nearest that the rounds so far found; infinity where they found nothing.
    """

    classes: Int64[Tensor, "m k"] | None
    linearised: Float[Tensor, "m k"]
    found: Float[Tensor, "m k"]

    @classmethod
    def begin(cls, batch: Batch) -> Standing:
        """Return the standing by the linearised boundaries: a backward pass for each class."""
        near = linearise(batch, batch.clean, CLASSES)
        linearised = near.distances(batch.ball.p)
        return cls(near.classes, linearised, torch.full_like(linearised, torch.inf))

    @property
    def nearest(self) -> Float[Tensor, " m"]:
        """The nearest that was found."""
        return self.found.amin(1)

    def ranking(self) -> Int64[Tensor, "m k"]:
        """Return the classes' places: those that were found by their distance, then the others by that
        of their linearised boundary.
        """
        by_line = self.linearised.argsort(dim=1, stable=True)
        by_found = self.found.gather(1, by_line).argsort(dim=1, stable=True)
        return by_line.gather(1, by_found)

    def at(self, rows: Tensor) -> Standing:
        """Return the standing of the samples `rows`."""
        classes = None if self.classes is None else self.classes[rows]
        return Standing(classes, self.linearised[rows], self.found[rows])

    def after(self, batch: Batch, tracker: Tracker, attack: Attack, runs: int) -> Standing:
        """Run the attack towards so many of the nearest classes; return the standing by what it found."""
        found, ranking = self.found, self.ranking()
        count = found.shape[1]
        each, more = divmod(runs, count)  # the nearest classes have a restart more
        for ranks, restarts in ((ranking[:, :more], each + 1), (ranking[:, more:], each)):
            if not restarts or not ranks.numel():
                continue
            for which in torch.split(ranks, _at_once(batch), dim=1):
                aimed = _towards(batch, self.classes, which)
                length = _found(Restarted(attack, restarts), batch, aimed, tracker)
                found = found.scatter_reduce(1, which, length.to(found.dtype), "amin")
        return replace(self, found=found)


def _at_once(batch: Batch) -> int:
    """Return towards how many classes a run goes at once: on few small images a step takes as long for
    all as for one.
    """
    return max(1, _ENTRIES // max(batch.clean.numel(), 1))


def _towards(
    batch: Batch, classes: Int64[Tensor, "m k"] | None, which: Int64[Tensor, "m r"]
) -> Batch:
    """Return each sample r times in a row, with a class each as its target unless the criterion has one
    boundary alone; rows are numbered anew.
    """
    rows = torch.arange(len(batch), device=which.device).repeat_interleave(which.shape[1])
    several = replace(batch.at(rows), index=torch.arange(len(rows), device=which.device))
    if classes is None:
        return several
    return replace(several, criterion=Targeted(), goals=classes.gather(1, which).flatten())


def _found(attack: Attack, batch: Batch, aimed: Batch, tracker: Tracker) -> Float[Tensor, "m r"]:
    """Run the attack on all of `aimed`, tell the tracker the nearest of each sample, and return the
    distances.
    """
    several = len(aimed) // max(len(batch), 1)
    nearest = Nearest(aimed.images, batch.guard.random)
    with batch.guard.ledger.on_behalf_of(batch.index.repeat_interleave(several)):
        MINIMUM_NORM.search(attack, aimed, nearest, staged=True)
    length = nearest.distance.reshape(len(batch), several)
    best = length.argmin(1) + several * torch.arange(len(batch), device=length.device)
    tracker.offer(batch, batch.threat.parametrise(nearest.images[best]))
    return length


def check_members(attack: Attack, members: tuple[Attack, ...]) -> None:
    """Raise `InputError` unless there are members, all minimum-norm attacks of the same threat.

    >>> from saddlepoint.attacks import DDN
    >>> from saddlepoint.threat import L2
    >>> check_members(DDN(L2()), ())
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: DDN needs a member; give at least one minimum-norm attack
    """
    if not members:
        name = type(attack).__name__
        raise InputError(f"{name} needs a member; give at least one minimum-norm attack")
    for member in members:
        if not isinstance(member, Attack):
            raise InputError(f"{member!r} is no attack; for one of another library see `foreign`")
        if member.kind is not MINIMUM_NORM or member.threat != attack.threat:
            raise InputError(
                f"{type(member).__name__} under {member.threat} is no minimum-norm attack under"
                f" {attack.threat}"
            )
