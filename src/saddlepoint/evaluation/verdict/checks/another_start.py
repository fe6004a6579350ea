"""Does one more start fool what the attacks do not?

At a budget that is just enough, another start always finds a few images more. Where it finds many, the
attacks were stopped too early, and the number would go on falling.
"""

from __future__ import annotations

from saddlepoint.attacks.core.contract import Attack
from saddlepoint.attacks.fixed_budget.apgd import APGD
from saddlepoint.attacks.fixed_budget.patch import PatchPGD
from saddlepoint.attacks.minimum_norm.sigma_zero import SigmaZero
from saddlepoint.attacks.wrappers.at_budget import AtBudget
from saddlepoint.evaluation.verdict.check import Control
from saddlepoint.threat import Normed, ThreatModel, norm_of

_STEPS = 20


class AnotherStart(Control):
    """The survivors that a short run on the margin from another start fools.

    >>> from saddlepoint.threat import Linf
    >>> AnotherStart().attack(Linf(0.1)).steps
    20
    """

    name = "another-start"
    means = "A short run from another start fools images that the attacks did not: they ended too early."
    remedy = "Run standard or thorough; --adaptive does."
    most = 32
    reference = "Carlini et al. 2019, arXiv:1902.06705"

    def attack(self, threat: ThreatModel) -> Attack | None:
        """Return the run; in L0 a minimum-norm attack at the budget, of patches their own."""
        if isinstance(threat, Normed) and norm_of(threat) == "L0":
            return AtBudget(SigmaZero(threat.with_eps(float("inf")), steps=30), threat)
        if norm_of(threat) == "Patches":
            return PatchPGD(threat, steps=_STEPS, loss="margin", start="clean")
        return APGD(threat, steps=_STEPS, loss="margin", shrinking=False)
