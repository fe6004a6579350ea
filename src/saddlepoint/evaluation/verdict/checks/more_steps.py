"""Do twice as many steps fool what the attacks did not?

An attack that has not converged would find more with more steps. A long run on the targeted ratio is made
on the survivors, only where another check found something, or on request.
"""

from __future__ import annotations

from saddlepoint.attacks.core.contract import Attack
from saddlepoint.attacks.fixed_budget.apgd import APGD
from saddlepoint.evaluation.verdict.check import Control
from saddlepoint.threat import ThreatModel, counted


class MoreSteps(Control):
    """The survivors that 100 steps towards each of the three nearest classes fool.

    >>> from saddlepoint.threat import Linf
    >>> MoreSteps().attack(Linf(0.1)).targets
    3
    """

    name = "more-steps"
    means = "Longer runs fool images that the attacks did not: they had not converged."
    remedy = "Give more steps until the accuracy moves by less than 0.2 points."
    reference = "Carlini et al. 2019, arXiv:1902.06705; Pintor et al. 2022, arXiv:2106.09947"
    thorough = True
    most = 32

    def attack(self, threat: ThreatModel) -> Attack | None:
        """Return the run; None where a budget counts."""
        if counted(threat):
            return None
        return APGD(threat, steps=100, loss="dlr-targeted", targets=3)
