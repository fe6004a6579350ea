"""Ordinary training."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from saddlepoint.objectives.contract import StepOutput, TrainingBatch
from saddlepoint.objectives.passes import descend
from saddlepoint.option_values import BelowOne, check_fields


@dataclass(frozen=True)
class Standard:
    """Cross-entropy on the clean images.

    Args:
        label_smoothing: the share of the target spread over all classes (Szegedy et al. 2016,
            arXiv:1512.00567).

    >>> import torch
    >>> net = nn.Linear(2, 2)
    >>> batch = TrainingBatch(torch.ones(1, 2), torch.zeros(1).long(), torch.zeros(1).long(), seed=0)
    >>> output = Standard().accumulate(net, batch)
    >>> net.weight.grad.shape
    torch.Size([2, 2])
    """

    label_smoothing: BelowOne = 0.0

    paper = "cross-entropy on the images as they are"
    cost = "1 full pass"

    def __post_init__(self) -> None:
        check_fields(self)

    def accumulate(self, model: nn.Module, batch: TrainingBatch) -> StepOutput:
        """Add the gradients of the cross-entropy on the images as they are."""
        return descend(model, batch, batch.images, self.label_smoothing)
