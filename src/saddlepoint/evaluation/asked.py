"""What the model says of images, outside any attack."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from saddlepoint.answers import check_answered, unanswered
from saddlepoint.attacks import Criterion, predict, tied
from saddlepoint.attacks.core.clean_pass import check_clean
from saddlepoint.attacks.core.no_class import wrong_before
from saddlepoint.evaluation.journal import Columns
from saddlepoint.evaluation.part import Part
from saddlepoint.model import Guard, full_precision
from saddlepoint.streams import Keys


@dataclass(frozen=True, eq=False)
class Asked:
    """A model that is asked, by a criterion.

    Args:
        samples: passes averaged, for a model that is random.
        seed: of its draws.

    >>> from saddlepoint.attacks import Misclassified
    >>> asked = Asked(nn.Flatten(), Misclassified(), 1, 0)
    >>> asked.clean(torch.tensor([[0.2, 0.9]]), torch.tensor([1]), torch.tensor([0]))["right"]
    tensor([True])
    """

    model: nn.Module
    criterion: Criterion
    samples: int
    seed: int

    def clean(self, images: Tensor, labels: Tensor, ids: Tensor) -> Columns:
        """Return the classes of clean images, and which are right: they have a class, and the
        criterion does not hold.
        """
        logits = self._logits(images, ids)
        check_answered(~unanswered(logits), self.model, whole=False)
        check_clean(self.criterion, logits, labels)
        goals = labels.to(logits.device)
        return {
            "prediction": predict(logits),
            "right": ~wrong_before(self.criterion, logits, goals),
            "tied": tied(logits),
        }

    def margin(
        self, size: int, part: Part, rows: Int64[Tensor, " k"], images: Float[Tensor, "k ..."]
    ) -> Float[Tensor, " k"]:
        """Return the criterion's margin at images of these rows of a part, `size` in a pass."""
        margins = [torch.zeros(0)]
        for where, some in zip(torch.split(rows, size), torch.split(images, size), strict=True):
            if len(where):
                logits = self._logits(some, part.ids[where])
                labels = part.labels[where].to(logits.device)
                margins.append(self.criterion.margin(logits, labels).float().cpu())
        return torch.cat(margins)

    def probabilities(self, images: Tensor, ids: Tensor) -> Float[Tensor, "m k"]:
        """Return the softmax of the logits at images, on the CPU."""
        return self._logits(images, ids).double().softmax(1).cpu()

    def _logits(self, images: Tensor, ids: Tensor) -> Tensor:
        guard = Guard(self.model, len(ids), samples=self.samples, seed=self.seed)
        with guard, full_precision(guard.device):
            keys = Keys(self.seed, ids.to(guard.device))
            return guard.logits(images.to(guard.device), None, keys)
