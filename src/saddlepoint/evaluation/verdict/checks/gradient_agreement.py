"""Does the gradient say how the model changes?

A rounding with a straight-through gradient, a detached branch or a gradient made up by the model gives
attacks a direction that the model does not follow. Along random directions of signs the change of the
margin over a central difference is compared with what the gradient promises. Where they do not
correlate the gradient is not the model's. A network of ReLUs is curved as well, and a model that
rounds is a staircase seen from near and a slope seen from afar: so the differences are taken at two
lengths, a thousandth and a fiftieth of the valid range, and the better correlation counts.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.evaluation.journal import Columns
from saddlepoint.evaluation.verdict.check import Probe, Subject, passes_of
from saddlepoint.evaluation.verdict.finding import Finding
from saddlepoint.evaluation.verdict.nearby import moved

_LENGTHS = (1e-3, 2e-2)
_DIRECTIONS = 10
_SUSPICIOUS, _BROKEN = 0.8, 0.25


class GradientAgreement(Probe):
    """The correlation of the gradient's promise with central differences, the median over images.

    >>> GradientAgreement.most
    24
    """

    name = "gradient-agreement"
    means = (
        "The gradient does not say how the model changes, so that attacks that follow it go astray."
    )
    remedy = (
        "Look for rounding, a detached branch or a backward that somebody wrote. --adaptive replaces"
        " the backward of modules without a gradient, averages gradients over noise, and searches"
        " without them."
    )
    threshold = f"correlation {_SUSPICIOUS:g}; broken below {_BROKEN:g}"
    reference = "Pintor et al. 2022, arXiv:2106.09947, which asks whether the graph is interrupted"
    most = 24
    triggers = True

    def measure(self, subject: Subject) -> Columns:
        """Return each image's correlation, at the better of two lengths."""
        with subject.guarded() as (batch, _):
            near, far = (_correlation(batch, length) for length in _LENGTHS)
            # The larger, or the one that is known.
            return {"correlation": torch.fmax(near, far), **passes_of(batch.guard)}

    def judge(self, rows: Columns) -> Finding:
        """Judge what `measure` returned; an image without any change has none to correlate."""
        known = rows["correlation"][~rows["correlation"].isnan()]
        if len(known) < 2:
            return self.finding("healthy", "no change to compare", len(known))
        middle = float(known.double().median())
        judgement = "broken" if middle < _BROKEN else "suspicious"
        figure = f"median correlation {middle:.2f}"
        return self.finding("healthy" if middle >= _SUSPICIOUS else judgement, figure, len(known))  # type: ignore[arg-type]


def _correlation(batch: Batch, length: float) -> Float[Tensor, " m"]:
    """Return ⟨promise, change⟩ over the product of their norms; NaN where there is no change."""
    x = batch.clean
    loss = batch.loss("margin")
    promise, change = [], []
    _, gradient = batch.gradient(x, loss)
    for number in range(_DIRECTIONS):
        ahead = moved(batch, length, draw=number, signs=True)
        behind = batch.masked(
            2 * x - ahead
        )  # outside the valid range by as much; the model is asked
        way = (ahead - x).flatten(1).double()
        promise.append((gradient.flatten(1).double() * way).sum(1))
        values = [loss(batch.logits(point)).double() for point in (ahead, behind)]
        change.append((values[0] - values[1]) / 2)
    p, c = torch.stack(promise, dim=1), torch.stack(change, dim=1)
    scale = p.norm(dim=1) * c.norm(dim=1)
    either = p.norm(dim=1) + c.norm(dim=1) > 0
    return torch.where(either, (p * c).sum(1) / scale.clamp_min(1e-300), torch.nan)
