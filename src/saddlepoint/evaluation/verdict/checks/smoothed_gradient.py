"""Does the mean gradient around a point lead further than the gradient at it?

Of an honest model it does not: the mean over a ball as wide as the budget is a blurred direction, and
steps along it end higher. Where the gradient is right and yet leads nowhere, because the surface is
rough or saturated on the scale of a step, the mean sees the slope underneath. Ten steps of each on the
margin are compared on the images that the plain ones leave standing. It was found on networks that were
trained on MNIST at 0.3, of which no other check sees anything and Square fools up to three in ten of
what all attacks by gradient leave.
"""

from __future__ import annotations

import torch

from saddlepoint.attacks.fixed_budget.apgd import APGD
from saddlepoint.attacks.wrappers.smoothed import Smoothed
from saddlepoint.evaluation.journal import Columns
from saddlepoint.evaluation.verdict.check import Probe, Subject, passes_of
from saddlepoint.evaluation.verdict.finding import Finding, Judgement
from saddlepoint.threat import ThreatModel, norm_of

_STEPS, _DRAWS = 10, 3
_FURTHER = 0.05  # of the margin of the clean image
_SUSPICIOUS, _BROKEN, _FEWEST = 0.3, 0.6, 6


class SmoothedGradient(Probe):
    """The images that stand after plain steps, of which the mean gradient's end has less margin.

    >>> from saddlepoint.threat import L0
    >>> SmoothedGradient().applies(L0(3))
    False
    """

    name = "smoothed-gradient"
    means = (
        "The gradient leads nowhere where its mean over many points leads on: it is masked by a rough"
        " or saturated surface."
    )
    remedy = (
        "Average the gradient over noise, or search without it: --adaptive and standard do, and fast"
        " where its pilot sees this."
    )
    threshold = (
        f"{100 * _SUSPICIOUS:.0f} % of what stands, and {_FEWEST} images; broken from"
        f" {100 * _BROKEN:.0f} %"
    )
    reference = "Athalye et al. 2018, arXiv:1802.00420, of gradients that are right and of no use"
    most = 24
    triggers = True
    twice = True

    def applies(self, threat: ThreatModel) -> bool:
        """Return whether there are steps under a threat model."""
        return norm_of(threat) in Smoothed.norms

    def measure(self, subject: Subject) -> Columns:
        """Return each image's margin, clean and after steps of both kinds."""
        plain = APGD(subject.threat, steps=_STEPS, loss="margin", stop="never")
        ends = [subject.attacked(each) for each in (plain, Smoothed(plain, draws=_DRAWS))]
        with subject.guarded() as (batch, logits):
            margins = [batch.margin(logits).double()]
            margins += [
                batch.margin(batch.logits(end.adversarials.to(batch.clean.device))).double()
                for end in ends
            ]
            passes = [passes_of(batch.guard), *map(passes_of, ends)]
        clean, plain_end, smoothed = margins
        return {
            "clean": clean,
            "plain": plain_end,
            "smoothed": smoothed,
            **{name: torch.stack([each[name] for each in passes]).sum(0) for name in passes[0]},
        }

    def judge(self, rows: Columns) -> Finding:
        """Judge what `measure` returned."""
        stands = rows["plain"] > 0
        further = stands & (rows["plain"] - rows["smoothed"] > _FURTHER * rows["clean"])
        count, total = int(further.sum()), int(stands.sum())
        judgement: Judgement = "healthy"
        if count >= _FEWEST and count >= _SUSPICIOUS * total:
            judgement = "broken" if count >= _BROKEN * total else "suspicious"
        figure = f"the mean leads further for {count} of {total} that stand"
        return self.finding(judgement, figure, len(stands))
