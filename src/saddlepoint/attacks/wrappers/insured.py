"""A race over the classes that is insured: a pilot of another kind tells where it is lost."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import Attack, MinimumNorm
from saddlepoint.attacks.core.kinds import MINIMUM_NORM
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.attacks.wrappers.race import Standing, check_members
from saddlepoint.counts import check_count

# The race is lost where the pilot came nearer by more than this.
_NEARER = 0.99

Round = tuple[Attack, int]


@dataclass(frozen=True, kw_only=True)
class Insured(MinimumNorm):
    """A race (see `Race`) whose rounds after the first are run on the samples on which it leads.

    Short runs towards every class are of little use where the boundary is far or the gradient is
    masked: they end before they arrive, or where they began. A longer run of another kind, the pilot,
    says where that is. It is each sample's own result that decides.

    Args:
        short: the first round: a minimum-norm attack, and towards how many classes it is run.
        pilot: an attack that aims at no class.
        near: the other rounds, where the first found something and the pilot came no nearer, and where
            nothing at all was found.
        far: attacks that aim at no class, for the other samples. The first begins outside: where it
            finds nothing outside that fools, it has spent little.

    >>> from saddlepoint.attacks import DDN, PDPGD
    >>> from saddlepoint.threat import L2
    >>> ddn, pdpgd = DDN(L2(), steps=5), PDPGD(L2(), steps=10)
    >>> net, images = torch.nn.Flatten(), torch.tensor([[0.9, 0.3, 0.7]])
    >>> attack = Insured(L2(), short=(ddn, 2), pilot=pdpgd, near=((ddn, 1),), far=(pdpgd,))
    >>> f"{float(attack(net, images, torch.tensor([0])).distance):.3f}"  # 0.2/√2
    '0.141'
    """

    short: Round = field(kw_only=True)
    pilot: Attack = field(kw_only=True)
    near: tuple[Round, ...] = field(kw_only=True)
    far: tuple[Attack, ...] = field(kw_only=True)

    paper = "Jamieson and Talwalkar 2016, arXiv:1502.07943, of the halving"

    def __post_init__(self) -> None:
        super().__post_init__()
        rounds = (self.short, *self.near)
        check_members(self, (self.pilot, *self.far, *(attack for attack, _ in rounds)))
        for attack, runs in rounds:
            check_count(f"{type(attack).__name__}: classes that it is run towards", runs)

    @property
    def expected_steps(self) -> int:
        """The passes as a rule; see `Attack`."""
        rounds = (self.short, *self.near)
        return self.pilot.expected_steps + sum(
            attack.expected_steps * runs for attack, runs in rounds
        )

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Run the first round and the pilot, and then what suits each sample."""
        standing = Standing.begin(batch).after(batch, tracker, *self.short)
        piloted = _run(self.pilot, batch, tracker).to(standing.found.dtype)
        # where neither found anything, what begins outside is the last hope
        lost = (piloted < _NEARER * standing.nearest) | standing.nearest.isinf()
        behind, found = lost.nonzero().squeeze(1), torch.minimum(piloted, standing.nearest)
        for attack in self.far:
            if not len(behind):
                break
            length = _run(attack, batch.at(behind), tracker).to(found.dtype)
            found = found.index_copy(0, behind, torch.minimum(found[behind], length))
            # What begins outside has spent little where nothing outside fools.
            behind = behind[found[behind].isfinite()]
        ahead = (~lost | found.isinf()).nonzero().squeeze(1)
        if len(ahead):
            near, rest = batch.at(ahead), standing.at(ahead)
            for attack, runs in self.near:
                rest = rest.after(near, tracker, attack, runs)


def _run(attack: Attack, batch: Batch, tracker: Tracker) -> torch.Tensor:
    """Run the attack afresh, tell the tracker what it found, and return its distances (m,)."""
    own = MINIMUM_NORM.found(attack, batch, tracker)
    tracker.offer(batch, batch.threat.parametrise(own.images[batch.index]))
    return own.distance[batch.index]
