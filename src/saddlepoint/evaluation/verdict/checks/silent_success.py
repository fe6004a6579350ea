"""Was an image fooled on the way, and handed back unfooled?

An attack that returns its last iterate may have fooled the model before and moved on. Attacks here keep
the best; where one of the suite was told to keep the last, it is run again to keep the best.
"""

from __future__ import annotations

from dataclasses import replace

from saddlepoint.attacks.core.contract import Attack
from saddlepoint.evaluation.verdict.check import Control
from saddlepoint.threat import ThreatModel


class SilentSuccess(Control):
    """The survivors that an attack with keep="last" fools on its way.

    Args:
        inner: the attack of the suite.

    >>> from saddlepoint.attacks import PGD
    >>> from saddlepoint.threat import Linf
    >>> SilentSuccess(PGD(Linf(0.1), keep="last")).attack(Linf(0.2)).keep
    'best'
    """

    name = "silent-success"
    means = (
        "The attack fooled these images on its way, and handed back an image that does not fool."
    )
    remedy = 'Keep the best iterate: leave keep="last" out.'
    reference = "Pintor et al. 2022, arXiv:2106.09947"
    most = 32

    def __init__(self, inner: Attack) -> None:
        self.inner = inner

    def attack(self, threat: ThreatModel) -> Attack:
        """Return the attack, keeping the best."""
        return replace(self.inner, threat=threat, keep="best")
