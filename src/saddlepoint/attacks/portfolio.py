"""A portfolio: several minimum-norm attacks on each image, of which the nearest result counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from saddlepoint.attacks.alma import ALMA
from saddlepoint.attacks.base import Attack
from saddlepoint.attacks.batch import Batch
from saddlepoint.attacks.boundaries import linearise
from saddlepoint.attacks.criteria import Targeted
from saddlepoint.attacks.ddn import DDN
from saddlepoint.attacks.fab import FAB
from saddlepoint.attacks.fmn import FMN
from saddlepoint.attacks.inputs import check_passes
from saddlepoint.attacks.keep import Keeper
from saddlepoint.attacks.polish import bisect
from saddlepoint.attacks.restarted import restarted
from saddlepoint.attacks.sigma_zero import SigmaZero
from saddlepoint.attacks.wrapping import contract_of, nearest_by
from saddlepoint.errors import InputError
from saddlepoint.threat import NormBall, Rescaled, ThreatModel

CLASSES = 9
"""How many other classes are aimed at, those of highest logits: all of ten."""


@dataclass(frozen=True, kw_only=True)
class Race(Attack):
    """Successive halving over the other classes: short runs towards each, longer ones towards those
    that proved near.

    Before the first round the classes are ranked by the distance of their linearised boundary, then
    by the nearest that the rounds before found. With fewer classes than a round has runs, the
    runs left over start from random points; see `restarted`.

    Args:
        rounds: minimum-norm attacks, and towards how many of the nearest classes each is run.

    Reference: Jamieson and Talwalkar 2016, arXiv:1502.07943, of the halving.

    >>> from saddlepoint.threat import L2
    >>> short, long = DDN(L2(), steps=5), DDN(L2(), steps=50)
    >>> net, images = torch.nn.Flatten(), torch.tensor([[0.9, 0.3, 0.7]])
    >>> found = Race(L2(), rounds=((short, 2), (long, 1)))(net, images, torch.tensor([0]))
    >>> f"{float(found.distance):.3f}"  # 0.2/√2
    '0.141'
    """

    rounds: tuple[tuple[Attack, int], ...] = field(kw_only=True)

    minimum_norm = True
    norms = ("Linf", "L2", "L1", "L0")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_members(self, tuple(attack for attack, _ in self.rounds))
        for attack, runs in self.rounds:
            if runs < 1:
                raise InputError(f"{type(attack).__name__} is run towards {runs} classes; give 1")

    def perturb(self, batch: Batch, best: Keeper) -> None:
        """Run every round towards the classes that are nearest so far."""
        near = linearise(batch, batch.clean, CLASSES)
        distance = near.distances(max(batch.ball.p, 1.0))
        found = torch.full_like(distance, torch.inf)
        count = distance.shape[1]
        for attack, runs in self.rounds:
            ranking = distance.argsort(dim=1, stable=True)
            for rank in range(min(runs, count)):
                restarts = runs // count + (rank < runs % count)
                which = ranking[:, rank : rank + 1]
                aimed = _towards(batch, near.classes, which)
                own = nearest_by(restarted(attack, restarts), aimed, best)
                best.last(batch, batch.threat.parametrise(own.images[batch.index]))
                length = own.length[batch.index, None].to(found.dtype)
                found = found.scatter_reduce(1, which, length, "amin")
            distance = found


def _towards(
    batch: Batch, classes: Int64[Tensor, "m k"] | None, which: Int64[Tensor, "m 1"]
) -> Batch:
    """Return the batch with a class as its target, unless the criterion has one boundary alone."""
    if classes is None:
        return batch
    return replace(batch, criterion=Targeted(), goals=classes.gather(1, which)[:, 0])


@dataclass(frozen=True, kw_only=True)
class Portfolio(Attack):
    """Several minimum-norm attacks after each other; see `portfolio`, which chooses them.

    Each begins afresh, so that none leads the others into its own local optimum.

    Args:
        members: minimum-norm attacks of one norm.
        bisections: forward passes that pull the nearest towards the clean image.

    >>> from saddlepoint.attacks import DDN, FMN
    >>> from saddlepoint.threat import L2
    >>> Portfolio(L2(), members=(DDN(L2()), FMN(L2()))).minimum_norm
    True
    """

    members: tuple[Attack, ...] = field(kw_only=True)
    bisections: int = 10

    minimum_norm = True
    norms = ("Linf", "L2", "L1", "L0")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_members(self, self.members)
        check_passes(bisections=self.bisections)

    def perturb(self, batch: Batch, best: Keeper) -> None:
        """Run the members, and record what each found."""
        for member in self.members:
            own = nearest_by(member, batch, best)
            best.last(batch, batch.threat.parametrise(own.images[batch.index]))
        bisect(batch, best, self.bisections)


def check_members(attack: Attack, members: tuple[Attack, ...]) -> None:
    """Raise `InputError` unless there are members, all minimum-norm attacks of the same threat.

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
        contract_of(member)
        if not member.minimum_norm or member.threat != attack.threat:
            raise InputError(
                f"{type(member).__name__} under {member.threat} is no minimum-norm attack under"
                f" {attack.threat}"
            )


# The clean check, the linearisation and the ranking, the last bisections and the judge.
_BESIDES = 50
# Shorter runs say little of where a class is: with few passes there are fewer runs instead.
_SHORTEST = 40
# What a run spends after its last step, and before its first where it is a restart.
_BISECTIONS, _AROUND = 4, 10


@dataclass(frozen=True)
class _Budget:
    """What builds attacks, each from its share of the passes."""

    threat: ThreatModel
    passes: int

    def run(
        self,
        kind: Callable[..., Attack],
        share: float,
        runs: int = 1,
        *,
        each: int = 2,
        around: int = _AROUND,
        **options: Any,
    ) -> tuple[Attack, int]:
        """Return the attack, and how often these passes allow it; a step costs `each` of them."""
        passes = share * self.passes
        runs = max(1, min(runs, int(passes / _SHORTEST)))
        steps = max(1, int((passes / runs - around) / each))
        return kind(self.threat, steps=steps, bisections=_BISECTIONS, **options), runs


def _linf(budget: _Budget) -> tuple[Attack, ...]:
    rounds = budget.run(FMN, 0.23, CLASSES), budget.run(FMN, 0.29, 3), budget.run(FMN, 0.18)
    return (
        Race(budget.threat, rounds=rounds),
        budget.run(FMN, 0.15)[0],
        budget.run(FMN, 0.15, loss="cross-entropy")[0],
    )


def _l2(budget: _Budget) -> tuple[Attack, ...]:
    rounds = (
        budget.run(DDN, 0.23, CLASSES, loss="margin"),
        budget.run(DDN, 0.29, 3, loss="margin"),
        budget.run(ALMA, 0.25),
    )
    return Race(budget.threat, rounds=rounds), budget.run(DDN, 0.23)[0]


def _l1(budget: _Budget) -> tuple[Attack, ...]:
    rounds = (
        budget.run(FMN, 0.22, CLASSES),
        budget.run(FAB, 0.30, 2, each=3, around=22),
        budget.run(FMN, 0.20),
    )
    return Race(budget.threat, rounds=rounds), budget.run(FMN, 0.28, loss="cross-entropy")[0]


def _l0(budget: _Budget) -> tuple[Attack, ...]:
    rounds = (
        budget.run(FMN, 0.22, CLASSES),
        budget.run(SigmaZero, 0.28, 4, around=24, prunings=10),
        budget.run(SigmaZero, 0.22, around=44, prunings=30),
    )
    return Race(budget.threat, rounds=rounds), budget.run(SigmaZero, 0.28, around=54, prunings=40)[
        0
    ]


_MEMBERS: Mapping[str, Callable[[_Budget], tuple[Attack, ...]]] = MappingProxyType(
    {"Linf": _linf, "L2": _l2, "L1": _l1, "L0": _l0}
)


def portfolio(threat: ThreatModel, *, passes: int = 2000, eot_samples: int = 1) -> Portfolio:
    """Return the portfolio of a norm, within a number of passes.

    Attacks end in local optima, most of them in that of another class than the nearest: short runs
    find out which classes are near, longer ones go there, and the rest goes where it likes. The shares of
    the passes are fixed per norm; see the page on the portfolio for what they were chosen on.

    Args:
        threat: Linf, L2, L1 or L0, without a budget.
        passes: forward and backward passes per image, the judge's and the clean check included; at
            least 200.
        eot_samples: passes averaged at every step, which are beside these.

    >>> from saddlepoint.threat import L2
    >>> race, free = portfolio(L2()).members
    >>> [(type(attack).__name__, runs) for attack, runs in race.rounds], type(free).__name__
    ([('DDN', 9), ('DDN', 3), ('ALMA', 1)], 'DDN')
    """
    if not isinstance(threat, NormBall | Rescaled):
        raise InputError(f"a portfolio needs Linf, L2, L1 or L0, not {threat}")
    if passes < 200:
        raise InputError(f"passes is {passes}; a portfolio needs at least 200")
    members = _MEMBERS[threat.norm_name](_Budget(threat, passes - _BESIDES))
    return Portfolio(threat, members=members, bisections=5, eot_samples=eot_samples)
