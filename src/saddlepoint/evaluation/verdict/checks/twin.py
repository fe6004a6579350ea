"""Does the attack fool its stand-in, and not the model?

An attack through a differentiable stand-in finds what fools the stand-in. Where that does not fool the
model, it says little of the model: the stand-in is not like it.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from saddlepoint.attacks.wrappers.transfer import Transfer
from saddlepoint.evaluation.journal import Columns
from saddlepoint.evaluation.verdict.check import Measured, Subject, passes_of, share
from saddlepoint.evaluation.verdict.finding import Finding


class Twin(Measured):
    """The survivors whose images fool the stand-in of an attack of the suite.

    Args:
        attack: the attack of the suite.

    >>> from saddlepoint.attacks import PGD
    >>> from saddlepoint.threat import Linf
    >>> Twin(Transfer(PGD(Linf(0.1)), torch.nn.Flatten())).name
    'twin'
    """

    name = "twin"
    means = "The attack fools the stand-in that it runs on, and not the model: they are not alike."
    remedy = "Attack the model itself, or a stand-in that is closer to it."
    threshold = "half of the survivors and two images"
    reference = "Pintor et al. 2022, arXiv:2106.09947"
    most = 32

    def __init__(self, attack: Transfer) -> None:
        self.attack = attack

    def measure(self, subject: Subject) -> Columns:
        """Return which images fool the stand-in."""
        run = replace(self.attack.attack, threat=subject.threat)
        result = replace(subject, model=self.attack.surrogate, random=False, samples=1).attacked(
            run
        )
        fooled = result.success & ~result.initially_wrong
        return {"fooled": fooled, **passes_of(result)}

    def judge(self, rows: Columns) -> Finding:
        """Judge what `measure` returned."""
        fooled = rows["fooled"]
        figure = f"{int(fooled.sum())} of {len(fooled)} survivors fool the stand-in"
        return self.finding(share(fooled, 0.5, torch.inf), figure, len(fooled))
