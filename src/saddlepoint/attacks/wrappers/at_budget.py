"""Any minimum-norm attack at a fixed budget."""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field, replace

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.kinds import FIXED_BUDGET, MINIMUM_NORM, Kind
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.attacks.wrappers.wrapper import INHERIT, Wrapper
from saddlepoint.errors import InputError
from saddlepoint.threat import ThreatModel, unlimited


@dataclass(frozen=True, kw_only=True)
class AtBudget(Wrapper):
    """A minimum-norm attack that succeeds where it finds a distance within a budget.

    Args:
        attack: a minimum-norm attack.
        budget: a ball of the same norm with its budget; it is the threat model.

    Raises `InputError` where the attack has a budget already or the norms differ.

    >>> import torch
    >>> from saddlepoint.attacks import DDN
    >>> from saddlepoint.threat import L2
    >>> net, images = torch.nn.Flatten(), torch.tensor([[0.8, 0.2], [0.6, 0.5]])
    >>> AtBudget(DDN(L2()), L2(0.1))(net, images, torch.tensor([0, 0])).success
    tensor([False,  True])
    """

    budget: InitVar[ThreatModel] = field(default=INHERIT, kw_only=False)

    def __post_init__(self, budget: ThreatModel) -> None:
        if budget is not INHERIT:
            object.__setattr__(self, "threat", budget)
        super().__post_init__()
        if self.attack.kind is not MINIMUM_NORM:
            raise InputError(
                f"{type(self.attack).__name__} has a budget of its own; give it {self.threat}"
            )
        if unlimited(self.threat):
            raise InputError(f"AtBudget needs a budget; give {self.threat}(eps) second")

    @property
    def kind(self) -> Kind:
        """A budget."""
        return FIXED_BUDGET

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Search for the nearest fooling point, and pull it into the ball where it is outside."""
        free = replace(batch, threat=batch.normed.with_eps(float("inf")))
        nearest = MINIMUM_NORM.found(self.attack, free, tracker)
        tracker.offer(batch, batch.project(batch.threat.parametrise(nearest.images[batch.index])))
