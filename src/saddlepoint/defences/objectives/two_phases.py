"""Objectives of two phases, first the perturbation and then a loss at it: what AWP can wrap."""

from __future__ import annotations

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.objectives.contract import StepOutput, TrainingBatch
from saddlepoint.objectives.passes import backward, forward, label_loss


class TwoPhases(ABC):
    """An objective that perturbs the images first, and then descends a loss at them.

    >>> class Shifted(TwoPhases):
    ...     def perturb(self, model, batch):
    ...         return batch.images + 1
    ...     def loss(self, model, batch, adversarials):
    ...         logits = model(adversarials)
    ...         return logits.mean(), logits
    >>> import torch
    >>> batch = TrainingBatch(torch.ones(1, 2), torch.zeros(1).long(), torch.zeros(1).long(), seed=0)
    >>> Shifted().accumulate(nn.Linear(2, 3), batch).sums["accuracy"][1]
    1
    """

    @abstractmethod
    def perturb(self, model: nn.Module, batch: TrainingBatch) -> Float[Tensor, "n ..."]:
        """Return the images that the loss is taken at, made by the model as it is."""

    @abstractmethod
    def loss(
        self, model: nn.Module, batch: TrainingBatch, adversarials: Float[Tensor, "n ..."]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "n k"]]:
        """Return the loss, with its graph, and the logits that are reported of it."""

    def accumulate(self, model: nn.Module, batch: TrainingBatch) -> StepOutput:
        """Perturb the images, then add the gradients of the loss at them."""
        adversarials = self.perturb(model, batch)
        return backward(batch, *self.loss(model, batch, adversarials))


class OnAdversarials(TwoPhases):
    """An objective whose loss is the cross-entropy at the perturbed images alone.

    >>> issubclass(OnAdversarials, TwoPhases)
    True
    """

    label_smoothing: float

    def loss(
        self, model: nn.Module, batch: TrainingBatch, adversarials: Float[Tensor, "n ..."]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "n k"]]:
        """Return the cross-entropy at the adversarial images."""
        logits = forward(model, batch, adversarials)
        return label_loss(batch, logits, self.label_smoothing), logits
