"""Do images made on another model fool what the attacks did not?

Images that fool one model of the same data often fool another. Where they fool survivors of attacks
that could use the model's own gradient, that gradient was no help. It needs a good surrogate: another
network of the same data and threat model, without what may mask its gradient.
"""

from __future__ import annotations

from torch import nn

from saddlepoint.attacks.core.contract import Attack
from saddlepoint.attacks.fixed_budget.apgd import APGD
from saddlepoint.attacks.wrappers.transfer import Transfer
from saddlepoint.evaluation.verdict.check import Control
from saddlepoint.threat import ThreatModel, counted


class Surrogate(Control):
    """The survivors that images made on a surrogate fool.

    Args:
        model: the surrogate, on the same device.

    >>> from saddlepoint.threat import Linf
    >>> Surrogate(nn.Flatten()).attack(Linf(0.1)).attack.loss
    'margin'
    """

    name = "surrogate"
    means = (
        "Images made on another model fool survivors of attacks on the model itself: it is masked."
    )
    remedy = (
        "Attack through the surrogate (--adaptive --surrogate), or find what hides the gradient."
    )
    reference = "Papernot et al. 2016, arXiv:1605.07277; Carlini et al. 2019, arXiv:1902.06705"

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def attack(self, threat: ThreatModel) -> Attack | None:
        """Return a run on the surrogate; None where a budget counts."""
        if counted(threat):
            return None
        run = APGD(threat, steps=50, loss="margin", shrinking=False)
        return Transfer(run, self.model)
