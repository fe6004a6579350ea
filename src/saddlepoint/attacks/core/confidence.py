"""Confidence: a success that asks for a margin, Carlini and Wagner's κ."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.criteria import Aimed, BinaryLogit, Criterion, Targeted
from saddlepoint.attacks.core.tracker import Nearest, Tracker


@dataclass(frozen=True)
class Confident:
    """A criterion that asks for a margin below −`confidence`, C&W's κ, instead of below 0.

    Through it everything that asks the criterion, the objectives and the tracker of the nearest
    success alike, honours κ.

    >>> from saddlepoint.attacks import Misclassified
    >>> Confident(Misclassified(), 2.0).margin(torch.tensor([[1.0, 2.5]]), torch.tensor([0]))
    tensor([0.5000])
    """

    criterion: Criterion
    confidence: float

    def margin(
        self, logits: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Return the criterion's margin plus the confidence."""
        return self.criterion.margin(logits, labels) + self.confidence

    def log_odds(
        self, logits: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Return the criterion's own log-odds at the shifted logits."""
        return self.criterion.log_odds(self.shifted(logits, labels), labels)

    def cross_entropy(
        self, logits: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Return the criterion's own loss at the shifted logits."""
        return self.criterion.cross_entropy(self.shifted(logits, labels), labels)

    def shifted(
        self, logits: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]
    ) -> Float[Tensor, "n k"]:
        """Return the logits with the goal's, and what else holds the image, moved by κ against the
        attack: its own margin there is this one.
        """
        if isinstance(self.criterion, BinaryLogit):
            return logits + (self.confidence * (2 * labels - 1))[:, None]
        if isinstance(self.criterion, Aimed):
            held = ~self.criterion.aims(labels, logits.shape[1])
            return logits + self.confidence * held
        sign = -1.0 if isinstance(self.criterion, Targeted) else 1.0
        step = torch.full_like(logits[:, :1], sign * self.confidence)
        return logits.scatter_add(1, labels[:, None], step)


def demand(batch: Batch, tracker: Tracker, confidence: float) -> Batch:
    """Return the batch under a criterion that asks for the confidence.

    What `tracker` holds already, the given `starts`, was recorded without it: what is not as confident
    no longer counts as a success there.

    >>> from saddlepoint.attacks import Misclassified
    >>> from saddlepoint.streams import Keys
    >>> from saddlepoint.model import Guard
    >>> from saddlepoint.threat import L2
    >>> x, rows = torch.zeros(1, 2), torch.arange(1)
    >>> batch = Batch(Guard(torch.nn.Flatten(), 1), L2(), Misclassified(), x, rows, Keys(0, rows), rows)
    >>> demand(batch, Nearest(x), 2.0).margin(x)
    tensor([2.])
    """
    if confidence == 0:
        return batch
    if isinstance(tracker, Nearest):
        tracker.require_confidence(batch, confidence)
    return replace(batch, criterion=Confident(batch.criterion, confidence))
