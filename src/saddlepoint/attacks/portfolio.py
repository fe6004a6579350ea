"""A portfolio: several minimum-norm attacks on each image, of which the nearest result counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from saddlepoint.attacks.alma import ALMA
from saddlepoint.attacks.base import Attack
from saddlepoint.attacks.batch import Batch
from saddlepoint.attacks.ddn import DDN
from saddlepoint.attacks.fab import FAB
from saddlepoint.attacks.fmn import FMN
from saddlepoint.attacks.inputs import check_passes
from saddlepoint.attacks.keep import Keeper
from saddlepoint.attacks.pdpgd import PDPGD
from saddlepoint.attacks.polish import bisect
from saddlepoint.attacks.sigma_zero import SigmaZero
from saddlepoint.attacks.wrapping import contract_of, nearest_by
from saddlepoint.errors import InputError
from saddlepoint.threat import NormBall, Rescaled, ThreatModel


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
        if not self.members:
            raise InputError("a portfolio needs a member; give at least one minimum-norm attack")
        check_passes(bisections=self.bisections)
        for member in self.members:
            contract_of(member)
            if not member.minimum_norm or member.threat != self.threat:
                raise InputError(
                    f"{type(member).__name__} under {member.threat} is no minimum-norm attack under"
                    f" {self.threat}"
                )

    def perturb(self, batch: Batch, best: Keeper) -> None:
        """Run the members, and record what each found."""
        for member in self.members:
            own = nearest_by(member, batch, best)
            best.last(batch, batch.threat.parametrise(own.images[batch.index]))
        bisect(batch, best, self.bisections)


def _linf(threat: ThreatModel, passes: int) -> tuple[Attack, ...]:
    return (
        FMN(threat, steps=_steps(passes, 0.45)),
        FAB(threat, targets=3, steps=_steps(passes, 0.35, each=9)),
        FMN(threat, steps=_steps(passes, 0.2), loss="cross-entropy"),
    )


def _l2(threat: ThreatModel, passes: int) -> tuple[Attack, ...]:
    return DDN(threat, steps=_steps(passes, 0.5)), ALMA(threat, steps=_steps(passes, 0.5))


def _l1(threat: ThreatModel, passes: int) -> tuple[Attack, ...]:
    return (
        FMN(threat, steps=_steps(passes, 0.25)),
        FMN(threat, steps=_steps(passes, 0.4), loss="cross-entropy"),
        FAB(threat, targets=3, steps=_steps(passes, 0.35, each=9)),
    )


def _l0(threat: ThreatModel, passes: int) -> tuple[Attack, ...]:
    return (
        SigmaZero(threat, steps=_steps(passes, 0.6)),
        FMN(threat, steps=_steps(passes, 0.2)),
        PDPGD(threat, steps=_steps(passes, 0.2)),
    )


_PARTS: Mapping[str, Callable[[ThreatModel, int], tuple[Attack, ...]]] = MappingProxyType(
    {"Linf": _linf, "L2": _l2, "L1": _l1, "L0": _l0}
)
# The clean check, the judge, the merging, and what members spend after their last step.
_BESIDES = 100


def _steps(passes: int, share: float, each: int = 2) -> int:
    """Return the steps of `each` passes that a share of them allows."""
    return max(1, int(share * passes / each))


def portfolio(threat: ThreatModel, *, passes: int = 2000, eot_samples: int = 1) -> Portfolio:
    """Return the portfolio of a norm, within a number of passes.

    Attacks end in local optima, and different ones in different optima: the nearest of three
    shorter runs is nearer than one long run as a rule. The shares of the passes are fixed per norm;
    see the page on the portfolio for what they were chosen on.

    Args:
        threat: Linf, L2, L1 or L0, without a budget.
        passes: forward and backward passes per image, the judge's and the clean check included; at
            least 200.
        eot_samples: passes averaged at every step, which are beside these.

    >>> from saddlepoint.threat import L2
    >>> [type(member).__name__ for member in portfolio(L2()).members]
    ['DDN', 'ALMA']
    """
    if not isinstance(threat, NormBall | Rescaled):
        raise InputError(f"a portfolio needs Linf, L2, L1 or L0, not {threat}")
    if passes < 200:
        raise InputError(f"passes is {passes}; a portfolio needs at least 200")
    members = _PARTS[threat.norm_name](threat, passes - _BESIDES)
    return Portfolio(threat, members=members, bisections=5, eot_samples=eot_samples)
