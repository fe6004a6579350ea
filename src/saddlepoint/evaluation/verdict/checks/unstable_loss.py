"""Is the loss a noisy function of the image?

Where tiny noise changes the loss as much as an attack could, the gradient at a point tells nothing of
the point a step away, and attacks wander. The change of the margin under uniform noise of 4/255 of
the valid range is compared with the margin itself, of the image or, where that is near 0, of the
median image.
"""

from __future__ import annotations

import torch

from saddlepoint.evaluation.journal import Columns
from saddlepoint.evaluation.verdict.check import Probe, Subject, passes_of
from saddlepoint.evaluation.verdict.finding import Finding, Judgement
from saddlepoint.evaluation.verdict.nearby import moved

_NOISE = 4 / 255
_DRAWS = 8
_SUSPICIOUS, _BROKEN = 0.2, 0.5


class UnstableLoss(Probe):
    """The mean change of the margin under small noise, relative to the margin; the median image.

    >>> UnstableLoss.most
    32
    """

    name = "unstable-loss"
    means = (
        "Small noise changes the loss so much that its gradient at a point says little of the next."
    )
    remedy = "Average the gradient over noise (--adaptive does), or search without gradients."
    threshold = f"a change of {_SUSPICIOUS:g} of the margin; broken from {_BROKEN:g}"
    reference = "Pintor et al. 2022, arXiv:2106.09947, which reports the figure without a threshold"
    most = 32
    triggers = True

    def measure(self, subject: Subject) -> Columns:
        """Return each image's margin, and its mean absolute change."""
        with subject.guarded() as (batch, logits):
            margin = batch.margin(logits).double()
            changes = [
                (
                    batch.margin(batch.logits(moved(batch, _NOISE, draw=draw))).double() - margin
                ).abs()
                for draw in range(_DRAWS)
            ]
            change = torch.stack(changes).mean(0)
            return {"margin": margin, "change": change, **passes_of(batch.guard)}

    def judge(self, rows: Columns) -> Finding:
        """Judge what `measure` returned."""
        margin, change = rows["margin"].abs(), rows["change"]
        ratio = float((change / margin.clamp_min(margin.median()).clamp_min(1e-30)).median())
        judgement: Judgement = "healthy"
        if ratio > _SUSPICIOUS and len(margin) >= 2:
            judgement = "broken" if ratio > _BROKEN else "suspicious"
        return self.finding(judgement, f"the margin changes by {ratio:.3g} of itself", len(margin))
