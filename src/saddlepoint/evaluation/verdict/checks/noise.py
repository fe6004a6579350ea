"""Does noise fool what the attacks do not?

Points drawn at random, within the ball and at its corners, know nothing of the model. Where they fool
an image that an attack with gradients left standing, the attack was worse than not looking.
"""

from __future__ import annotations

from dataclasses import dataclass

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import FixedBudget
from saddlepoint.attacks.core.steps import start_of
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.attacks.fixed_budget.noise import UniformNoise
from saddlepoint.evaluation.verdict.check import Control
from saddlepoint.option_values import Count
from saddlepoint.threat import ThreatModel, counted


class Noise(Control):
    """The survivors that some of 16 random points fool.

    >>> from saddlepoint.threat import Linf
    >>> Noise().attack(Linf(0.1)).draws
    16
    """

    name = "noise"
    means = (
        "Random points fool images that the attacks could not: their gradient leads them nowhere."
    )
    remedy = "Look for a masked gradient; --adaptive searches without one."
    reference = "Carlini et al. 2019, arXiv:1902.06705"

    def attack(self, threat: ThreatModel) -> FixedBudget:
        """Return the draws; where a budget counts, of uniform values alone."""
        return UniformNoise(threat, draws=16) if counted(threat) else RandomPoints(threat)


@dataclass(frozen=True, kw_only=True)
class RandomPoints(FixedBudget):
    """Points drawn uniformly from the ball and, by turns, from its corners; see `start_of`.

    >>> from saddlepoint.threat import Linf
    >>> RandomPoints(Linf(0.1), draws=4).draws
    4
    """

    draws: Count = 16
    paper = "the control: random search"
    gradient_free = True

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Draw, look, and keep."""
        for draw in range(self.draws):
            x = start_of(batch, "uniform", draw + 1, corner=draw % 2 == 1)
            tracker.record(batch, x, batch.logits(x))
            batch, _ = tracker.compact(batch)
            if not len(batch):
                return
