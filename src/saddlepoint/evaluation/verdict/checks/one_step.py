"""Does one step fool what many do not?

A single step of the whole budget is the weakest attack with a gradient. Where it fools an image that many
steps left standing, the many went astray: steps that are too short, a loss that is flat where they began.
"""

from __future__ import annotations

from saddlepoint.attacks.core.contract import Attack
from saddlepoint.attacks.fixed_budget.pgd import FGSM
from saddlepoint.evaluation.verdict.check import Control
from saddlepoint.threat import ThreatModel, counted


class OneStep(Control):
    """The survivors that FGSM fools.

    >>> from saddlepoint.threat import L0
    >>> OneStep().attack(L0(3)) is None
    True
    """

    name = "one-step"
    means = "A single step fools images that many steps did not."
    remedy = "Take more steps and longer ones, start at random, use another loss: standard does."
    reference = "Athalye et al. 2018, arXiv:1802.00420; Carlini et al. 2019, arXiv:1902.06705"

    def attack(self, threat: ThreatModel) -> Attack | None:
        """Return the step; None where a budget counts, where there is none."""
        return None if counted(threat) else FGSM(threat)
