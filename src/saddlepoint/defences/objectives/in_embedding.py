"""What objectives on perturbed embeddings share: a pass whose table of words stays in the graph."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from saddlepoint.objectives.classify import Classifying
from saddlepoint.objectives.contract import TrainingBatch
from saddlepoint.progress import passed
from saddlepoint.text import Embeds


class InEmbedding(Classifying):
    """A classification whose texts are perturbed after their embedding.

    >>> issubclass(InEmbedding, Classifying)
    True
    """

    def passed(
        self, model: nn.Module, batch: TrainingBatch, delta: Float[Tensor, "n t d"]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "n k"]]:
        """Return the loss at E(x) + δ, with its graph, and the logits."""
        assert isinstance(model, Embeds)
        with batch.autocast():
            embedded = model.embedding(batch.tokens) + delta
            logits = model.from_embedding(embedded, batch.tokens.keep)
        passed(len(batch.ids))
        smoothing = self.objective.label_smoothing
        fine = logits if logits.dtype == torch.float64 else logits.float()
        loss = functional.cross_entropy(fine, batch.labels, label_smoothing=smoothing)
        return loss, logits


class HeldNoise:
    """What layers on a device draw next, to be drawn again.

    >>> noise, layer = HeldNoise(torch.device("cpu")), nn.Dropout(0.5)
    >>> first = layer(torch.ones(99))
    >>> noise.again()
    >>> torch.equal(layer(torch.ones(99)), first)
    True
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._cpu = torch.get_rng_state()
        self._cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None

    def again(self) -> None:
        """Let the layers draw what they drew since."""
        torch.set_rng_state(self._cpu)
        if self._cuda is not None:
            torch.cuda.set_rng_state(self._cuda, self._device)
