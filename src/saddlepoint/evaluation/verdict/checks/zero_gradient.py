"""Does the gradient vanish?

Rounding, saturation or a part that is cut off from the graph makes the gradient exactly 0, and an
attack that follows it stays where it is. A few images may have that in float32 by one loss; so an
image counts only where the gradients of the margin and of the log-odds are both 0, or so small that
by first order the whole valid range would not reach the boundary a hundred thousand times over, and
both at the image and at a random point near it.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.evaluation.journal import Columns
from saddlepoint.evaluation.verdict.check import Probe, Subject, passes_of, share
from saddlepoint.evaluation.verdict.finding import Finding, Judgement
from saddlepoint.evaluation.verdict.nearby import moved

_HOPELESS = 1e5
_NEAR = 8 / 255


class ZeroGradient(Probe):
    """The share of images without a gradient.

    >>> ZeroGradient.triggers
    True
    """

    name = "zero-gradient"
    means = "For these images attacks that follow the gradient stand still: the gradient is masked."
    remedy = (
        "Look for rounding, saturation or a detached part. --adaptive replaces the backward of"
        " modules that have none (BPDA), and searches without gradients."
    )
    threshold = "1 % and two images; broken from 10 %"
    reference = "Athalye et al. 2018, arXiv:1802.00420; Pintor et al. 2022, arXiv:2106.09947"
    triggers = True

    def measure(self, subject: Subject) -> Columns:
        """Return which images have no gradient."""
        with subject.guarded() as (batch, _):
            near = moved(batch, _NEAR)
            blind = torch.ones(len(batch), dtype=torch.bool, device=batch.images.device)
            for x in (batch.clean, near):
                for loss in ("margin", "cross-entropy"):
                    blind &= _blind(batch, x, loss)
            return {"blind": blind, **passes_of(batch.guard)}

    def judge(self, rows: Columns) -> Finding:
        """Judge what `measure` returned."""
        blind = rows["blind"]
        figure = f"no gradient for {int(blind.sum())} of {len(blind)} images"
        # Of a single image no rate is told, but that nothing was seen of it is.
        alone = len(blind) == 1 and bool(blind.all())
        judgement: Judgement = "undecidable" if alone else share(blind, 0.01, 0.1)
        return self.finding(judgement, figure, len(blind))


def _blind(batch: Batch, x: Float[Tensor, "m ..."], loss: str) -> Bool[Tensor, " m"]:
    logits, gradient = batch.gradient(x, batch.loss(loss))
    reach = gradient.flatten(1).abs().double().sum(1)
    scale = batch.loss(loss)(logits).abs().double()
    return (reach == 0) | (reach * _HOPELESS < scale)
