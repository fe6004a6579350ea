"""A portfolio: several minimum-norm attacks on each image, of which the nearest result counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import Attack, MinimumNorm
from saddlepoint.attacks.core.final_search import final_search
from saddlepoint.attacks.core.kinds import MINIMUM_NORM
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.attacks.fixed_budget.apgd import APGD
from saddlepoint.attacks.minimum_norm.alma import ALMA
from saddlepoint.attacks.minimum_norm.brendel_bethge import BrendelBethge
from saddlepoint.attacks.minimum_norm.ddn import DDN
from saddlepoint.attacks.minimum_norm.fab import FAB
from saddlepoint.attacks.minimum_norm.fmn import FMN
from saddlepoint.attacks.minimum_norm.pdpgd import PDPGD
from saddlepoint.attacks.minimum_norm.sigma_zero import SigmaZero
from saddlepoint.attacks.wrappers.insured import Insured
from saddlepoint.attacks.wrappers.race import CLASSES, Race, check_members
from saddlepoint.attacks.wrappers.shrinking_budget import ShrinkingBudget
from saddlepoint.errors import InputError
from saddlepoint.option_values import Natural
from saddlepoint.threat import Normed, ThreatModel


@dataclass(frozen=True, kw_only=True)
class Portfolio(MinimumNorm):
    """Several minimum-norm attacks after each other; see `portfolio`, which chooses them.

    Each begins afresh, so that none leads the others into its own local optimum.

    Args:
        members: minimum-norm attacks of one norm.
        bisections: forward passes that pull the nearest towards the clean image.

    >>> from saddlepoint.attacks import DDN, FMN
    >>> from saddlepoint.threat import L2
    >>> Portfolio(L2(), members=(DDN(L2()), FMN(L2()))).kind.name
    'minimum norm'
    """

    members: tuple[Attack, ...] = field(kw_only=True)
    bisections: Natural = 10

    paper = "several of the others, the nearest counts"
    cost = "passes (2000)"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_members(self, self.members)

    @property
    def expected_steps(self) -> int:
        """The passes as a rule; see `Attack`."""
        return sum(each.expected_steps for each in self.members)

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Run the members, and record what each found."""
        for member in self.members:
            own = MINIMUM_NORM.found(member, batch, tracker)
            tracker.offer(batch, batch.threat.parametrise(own.images[batch.index]))
        final_search(batch, tracker, self.bisections)


# The clean check, the linearisation and the ranking, the last bisections and the judge.
_BESIDES = 50
# Shorter runs say little of where a class is: with few passes there are fewer runs instead.
_SHORTEST = 40
# What a run spends after its last step, and before its first where it is a restart.
_BISECTIONS, _AROUND = 4, 10
# What a random image costs that a run begins with: it is drawn, and brought to the boundary. For so
# many passes of the run there is one.
_EACH_START, _PER_START = 10, 40
# The budget that is tried first where no random image fools.
_FIRST = MappingProxyType({"Linf": 0.1, "L2": 1.0, "L1": 10.0})


@dataclass(frozen=True)
class _Budget:
    """What builds attacks, each from its share of the passes."""

    threat: Normed
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

    def outside(self, share: float) -> Attack:
        """Return Brendel-Bethge, with fewer starts where there are few passes."""
        starts = max(1, min(10, int(share * self.passes / _PER_START)))
        around = _EACH_START * starts + _AROUND
        options = {"starts": starts, "draws": 4 * starts}
        return self.run(BrendelBethge, share, around=around, **options)[0]

    def shrinking(self, share: float, searches: int) -> Attack:
        """Return APGD at shrinking budgets, with fewer searches and starts where there are few passes."""
        passes = share * self.passes
        searches = max(1, min(searches, int(passes / _SHORTEST)))
        starts = max(1, min(5, int(passes / _PER_START)))
        steps = max(1, int((passes - _EACH_START * starts - _AROUND) / searches - 1) // 2)
        apgd = APGD(self.threat.with_eps(_FIRST[self.threat.norm_name]), steps=steps, loss="margin")
        return ShrinkingBudget(apgd, searches=searches, starts=starts, bisections=_BISECTIONS)


def _linf(budget: _Budget) -> tuple[Attack, ...]:
    return (
        Insured(
            budget.threat,
            short=budget.run(FMN, 0.22, CLASSES),
            pilot=budget.shrinking(0.22, 8),
            near=(budget.run(FMN, 0.26, 3), budget.run(FMN, 0.15)),
            far=(budget.outside(0.41),),
        ),
        budget.run(FMN, 0.15, loss="cross-entropy")[0],
    )


def _l2(budget: _Budget) -> tuple[Attack, ...]:
    return (
        Insured(
            budget.threat,
            short=budget.run(DDN, 0.20, CLASSES, loss="margin"),
            pilot=budget.run(PDPGD, 0.20)[0],
            near=(
                budget.run(DDN, 0.18, 3, loss="margin"),
                budget.run(ALMA, 0.12, smoothing=0.9),
            ),
            far=(budget.outside(0.15), budget.shrinking(0.15, 8)),
        ),
        budget.run(ALMA, 0.30, smoothing=0.9)[0],
    )


def _l1(budget: _Budget) -> tuple[Attack, ...]:
    return (
        Insured(
            budget.threat,
            short=budget.run(FMN, 0.16, CLASSES),
            pilot=budget.run(PDPGD, 0.24)[0],
            near=(
                budget.run(FAB, 0.30, 3, each=3, around=22),
                budget.run(FMN, 0.15, loss="cross-entropy"),
            ),
            far=(budget.outside(0.20), budget.shrinking(0.25, 10)),
        ),
        budget.run(FMN, 0.15, loss="cross-entropy")[0],
    )


def _l0(budget: _Budget) -> tuple[Attack, ...]:
    aimed = budget.run(SigmaZero, 0.28, 2, around=34, prunings=20)
    return (
        Race(budget.threat, rounds=(aimed,)),
        budget.run(PDPGD, 0.24)[0],
        budget.run(SigmaZero, 0.48, around=54, prunings=40)[0],
    )


_MEMBERS: Mapping[str, Callable[[_Budget], tuple[Attack, ...]]] = MappingProxyType(
    {"Linf": _linf, "L2": _l2, "L1": _l1, "L0": _l0}
)


def portfolio(threat: ThreatModel, *, passes: int = 2000, eot_samples: int = 1) -> Portfolio:
    """Return the portfolio of a norm, within a number of passes.

    Attacks end in local optima, most of them in that of another class than the nearest: short runs
    find out which classes are near, and longer ones go there, unless a pilot of another kind came
    nearer; the rest aims at none. In L0 there is no pilot. The shares of the passes are fixed per norm;
    see the page on the portfolio for what they were chosen on.

    Args:
        threat: Linf, L2, L1 or L0, without a budget.
        passes: forward and backward passes per image, the judge's and the clean check included; at
            least 200.
        eot_samples: passes averaged at every step, which are beside these; so are the draws of a
            model that is random at inference in which a new nearest must fool.

    >>> from saddlepoint.threat import L2
    >>> insured, free = portfolio(L2()).members
    >>> [(type(attack).__name__, runs) for attack, runs in insured.near], type(free).__name__
    ([('DDN', 3), ('ALMA', 1)], 'ALMA')
    """
    if not isinstance(threat, Normed):
        raise InputError(f"a portfolio needs Linf, L2, L1 or L0, not {threat}")
    if passes < 200:
        raise InputError(f"passes is {passes}; a portfolio needs at least 200")
    members = _MEMBERS[threat.norm_name](_Budget(threat, passes - _BESIDES))
    return Portfolio(threat, members=members, bisections=5, eot_samples=eot_samples)
