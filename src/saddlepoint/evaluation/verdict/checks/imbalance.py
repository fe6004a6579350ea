"""Do the two logits of the margin pull with unequal force?

Where the gradient of one of the two logits is many times the other's, the margin's gradient is that
one's alone and attacks see half of the way (Ma et al. 2020). The ratio of the two is told; whether it
matters is what runs that raise one logit first say: the attack md, which `fast` then makes too.
"""

from __future__ import annotations

import torch
from torch import Tensor

from saddlepoint.evaluation.journal import Columns
from saddlepoint.evaluation.verdict.check import Probe, Subject, passes_of
from saddlepoint.evaluation.verdict.finding import Finding

_RATIO = 10.0
_SHARE = 0.5


class Imbalance(Probe):
    """The share of images for which one logit's gradient is ten times the other's.

    >>> Imbalance.triggers
    True
    """

    name = "imbalance"
    means = (
        "One of the two logits of the margin dominates its gradient: attacks see half of the way."
    )
    remedy = "Run the attack md, which raises one logit at a time; --adaptive does."
    threshold = f"a ratio of {_RATIO:g} for {100 * _SHARE:g} % of the images"
    reference = "Ma et al. 2020, arXiv:2006.13726"
    most = 32
    triggers = True

    def measure(self, subject: Subject) -> Columns:
        """Return the norms of the two gradients of each image."""
        with subject.guarded() as (batch, clean):
            if clean.shape[1] < 2:
                return {"own": torch.ones(len(batch)), "other": torch.ones(len(batch))}
            rival = clean.scatter(1, batch.goals[:, None], -torch.inf).argmax(1)

            def two(logits: Tensor) -> Tensor:
                rows = torch.stack([batch.goals, rival], dim=1)
                return torch.nn.functional.one_hot(rows, logits.shape[1]).to(logits)

            _, found = batch.jacobian(batch.clean, two)
            own, other = found.flatten(2).double().norm(dim=2).unbind(1)
            return {"own": own, "other": other, **passes_of(batch.guard)}

    def judge(self, rows: Columns) -> Finding:
        """Judge what `measure` returned."""
        own, other = rows["own"], rows["other"]
        either = (own + other) > 0
        large = torch.maximum(own, other) > _RATIO * torch.minimum(own, other)
        uneven = (large & either).double().mean() if len(own) else torch.tensor(0.0)
        found = int((large & either).sum()) >= 2 and float(uneven) >= _SHARE
        figure = f"a ratio above {_RATIO:g} for {int((large & either).sum())} of {len(own)} images"
        return self.finding("suspicious" if found else "healthy", figure, len(own))
