"""Has the network learnt to resist single steps alone?

Training with single steps may overfit catastrophically: the network resists the one step it was trained
with, and nothing else (Wong et al. 2020). It shows where a single step of the whole budget leaves almost
every image that is right, and many steps leave few. A number that many steps found is right, so that this
is told and does not speak against it; a number of single steps would be worth nothing.
"""

from __future__ import annotations

from saddlepoint.attacks.fixed_budget.pgd import FGSM
from saddlepoint.evaluation.journal import Columns
from saddlepoint.evaluation.verdict.check import Measured, Subject, passes_of
from saddlepoint.evaluation.verdict.finding import Finding
from saddlepoint.threat import ThreatModel, counted

_STEP_LEAVES, _SUITE_LEAVES = 0.8, 0.3


class SingleStep(Measured):
    """The images that stand under one step, beside those that stand under the suite.

    >>> import torch
    >>> stands = torch.tensor([True] * 9 + [False])
    >>> SingleStep().judge({"stands": stands, "left": torch.zeros(10, dtype=torch.bool)}).figure
    'one step leaves 9 of 10 images, the suite 0: overfitted to single steps; handled'
    """

    name = "single-step"
    means = "The network resists single steps alone."
    remedy = "Train with many steps or with N-FGSM, and never measure with single steps."
    threshold = (
        f"one step leaves {_STEP_LEAVES:g} of the images, the suite {_SUITE_LEAVES:g}; told only"
    )
    reference = (
        "Wong et al. 2020, arXiv:2001.03994; Andriushchenko and Flammarion 2020, arXiv:2007.02617"
    )
    most = 32

    def applies(self, threat: ThreatModel) -> bool:
        """Return whether there is a step."""
        return not counted(threat)

    def measure(self, subject: Subject) -> Columns:
        """Return which images stand under one step."""
        result = subject.attacked(FGSM(subject.threat))
        return {"stands": ~result.success, **passes_of(result)}

    def judge(self, rows: Columns) -> Finding:
        """Judge the rows, in which `left` says what the suite left."""
        stands, left = int(rows["stands"].sum()), int(rows["left"].sum())
        total = len(rows["stands"])
        figure = f"one step leaves {stands} of {total} images, the suite {left}"
        if stands >= _STEP_LEAVES * total and left <= _SUITE_LEAVES * total:
            figure += ": overfitted to single steps; handled"
        return self.finding("healthy", figure, total)
