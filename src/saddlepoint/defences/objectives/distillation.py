"""Defensive distillation: training at a temperature, with a teacher's probabilities or without."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from saddlepoint.errors import InputError
from saddlepoint.objectives.contract import StepOutput, TrainingBatch
from saddlepoint.objectives.passes import backward, forward, label_loss
from saddlepoint.option_values import Positive, check_fields


@dataclass(frozen=True)
class HardLabels:
    """Cross-entropy of softmax(Z/T) with the labels: what the teacher of a distillation minimises,
    and what the notes say suffices without one.

    The network predicts at temperature 1. Its logits grow to about T times the usual ones, and the
    gradient in them is 1/T of the usual one: choose an optimiser that does not mind, such as Adam,
    or a rate to match.

    Args:
        temperature: T.

    >>> import torch
    >>> batch = TrainingBatch(torch.ones(1, 2), torch.zeros(1).long(), torch.zeros(1).long(), seed=0)
    >>> HardLabels(20.0).accumulate(nn.Linear(2, 2), batch).sums["accuracy"][1]
    1
    """

    temperature: Positive = 100.0

    paper = "Papernot et al. 2016, arXiv:1511.04508"
    cost = "1 full pass"

    def __post_init__(self) -> None:
        check_fields(self)

    def accumulate(self, model: nn.Module, batch: TrainingBatch) -> StepOutput:
        """Add the gradients of the cross-entropy at temperature T."""
        logits = forward(model, batch, batch.images)
        return backward(batch, label_loss(batch, logits / self.temperature), logits)


@dataclass(frozen=True)
class Distillation:
    """Defensive distillation: the student of a teacher of the same architecture, both at T.

    Training has two stages. The teacher minimises `HardLabels(T)`; its softmax(Z/T), in evaluation
    mode so that dropout is off, are the soft labels of the training images; the student starts afresh
    and minimises the cross-entropy of softmax(Z/T) with them. It predicts at temperature 1.

    What it resists are attacks whose gradient underflows, and no others. Rates are those of
    `HardLabels`.

    Args:
        temperature: T.

    Reference: Papernot, McDaniel, Wu, Jha and Swami 2016, arXiv:1511.04508.

    >>> Distillation(20.0).teacher
    HardLabels(temperature=20.0)
    """

    temperature: Positive = 100.0

    paper = "Papernot et al. 2016, arXiv:1511.04508"
    cost = "1 full pass, twice over: teacher and student"

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def teacher(self) -> HardLabels:
        """What the teacher minimises."""
        return HardLabels(self.temperature)

    def soft_labels(self, logits: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
        """Return softmax(Z/T) of the teacher's logits."""
        return (logits / self.temperature).softmax(1)

    def accumulate(self, model: nn.Module, batch: TrainingBatch) -> StepOutput:
        """Add the gradients of the cross-entropy with the soft labels at temperature T."""
        if batch.soft is None:
            raise InputError(
                "distillation needs a teacher's soft labels: use saddlepoint.training.train"
            )
        logits = forward(model, batch, batch.images)
        soft = batch.soft.to(logits.dtype)
        return backward(batch, functional.cross_entropy(logits / self.temperature, soft), logits)
