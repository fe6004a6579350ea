"""Does a shorter step fool where the whole one does not?

A network that was trained with single steps of one length may bend its loss just there: at the length
of its training it looks right, and half-way it is wrong. This is how catastrophic overfitting shows
(Andriushchenko and Flammarion 2020). Along the steepest direction from the clean image a quarter and a half
of the budget are looked at, and the whole. For ordinary networks hardly an image is fooled on the way and
not at its end.
"""

from __future__ import annotations

import torch

from saddlepoint.attacks.core.steps import ascend
from saddlepoint.evaluation.journal import Columns
from saddlepoint.evaluation.verdict.check import Probe, Subject, passes_of, share
from saddlepoint.evaluation.verdict.finding import Finding
from saddlepoint.threat import Ascendable, ThreatModel, counted

_PARTS = (0.25, 0.5, 0.75)


class NotMonotone(Probe):
    """The share of images that a part of a step fools and the whole step does not.

    >>> NotMonotone.triggers
    True
    """

    name = "not-monotone"
    means = (
        "Steps of the whole budget fool less than shorter ones: the loss is bent along the gradient, as"
        " after single-step training that overfitted catastrophically."
    )
    remedy = (
        "Do not measure with single steps. Many short steps see it, and the suite fast goes on with"
        " longer runs and Square; train with N-FGSM or PGD."
    )
    threshold = "10 % and two images; broken from 50 %"
    reference = "Andriushchenko and Flammarion 2020, arXiv:2007.02617; Athalye et al. 2018, arXiv:1802.00420"
    most = 48
    triggers = True

    def applies(self, threat: ThreatModel) -> bool:
        """Return whether there is a steepest direction."""
        return isinstance(threat, Ascendable) and not counted(threat)

    def measure(self, subject: Subject) -> Columns:
        """Return which images are fooled on the way and not at its end."""
        with subject.guarded() as (batch, _):
            x = batch.clean
            _, gradient = batch.gradient(x, batch.loss("cross-entropy"))
            radius = batch.threat.radius(batch.images)
            fooled = [
                batch.margin(batch.logits(ascend(batch, x, gradient, part * radius, 1))) < 0
                for part in (*_PARTS, 1.0)
            ]
            on_the_way = torch.stack(fooled[:-1]).any(0)
            return {"bent": on_the_way & ~fooled[-1], **passes_of(batch.guard)}

    def judge(self, rows: Columns) -> Finding:
        """Judge what `measure` returned."""
        bent = rows["bent"]
        figure = f"{int(bent.sum())} of {len(bent)} images fooled on the way alone"
        return self.finding(share(bent, 0.1, 0.5), figure, len(bent))
