"""Any minimum-norm attack at a fixed budget."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import Attack
from saddlepoint.attacks.core.tracker import Keeper
from saddlepoint.attacks.wrappers.wrapper import contract_of, nearest_by
from saddlepoint.errors import InputError
from saddlepoint.threat import NormBall, Rescaled, ThreatModel


@dataclass(frozen=True, kw_only=True)
class AtBudget(Attack):
    """A minimum-norm attack whose result counts within a budget only; see `at_budget`.

    >>> from saddlepoint.attacks.minimum_norm.ddn import DDN
    >>> from saddlepoint.threat import L2
    >>> str(at_budget(DDN(L2()), L2(0.5)).threat)
    'L2 0.5'
    """

    attack: Attack = field(kw_only=True)
    norms = ("Linf", "L2", "L1", "L0")

    def perturb(self, batch: Batch, best: Keeper) -> None:
        """Search for the nearest fooling point, and pull it into the ball where it is outside."""
        assert isinstance(batch.threat, NormBall | Rescaled), "checked by at_budget"
        free = replace(batch, threat=batch.threat.with_eps(float("inf")))
        nearest = nearest_by(self.attack, free, best)
        best.last(batch, batch.project(batch.threat.parametrise(nearest.images[batch.index])))


def at_budget(attack: Attack, threat: ThreatModel) -> AtBudget:
    """Return the fixed-budget attack that succeeds where `attack` finds a distance within `threat`.

    Args:
        attack: a minimum-norm attack.
        threat: a ball of the same norm with its budget.

    Raises `InputError` where the attack has a budget already or the norms differ.

    >>> import torch
    >>> from saddlepoint.attacks.minimum_norm.ddn import DDN
    >>> from saddlepoint.threat import L2
    >>> net, images = torch.nn.Flatten(), torch.tensor([[0.8, 0.2], [0.6, 0.5]])
    >>> at_budget(DDN(L2()), L2(0.1))(net, images, torch.tensor([0, 0])).success
    tensor([False,  True])
    """
    contract = contract_of(attack)
    if not attack.minimum_norm:
        raise InputError(f"{type(attack).__name__} has a budget of its own; give it {threat}")
    norms = [getattr(each, "norm_name", str(each)) for each in (attack.threat, threat)]
    if norms[0] != norms[1]:
        raise InputError(f"the attack measures {norms[0]} and the budget is in {norms[1]}")
    return AtBudget(**contract | {"threat": threat}, attack=attack)
