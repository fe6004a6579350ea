"""Free adversarial training: every pass moves the perturbation and the weights at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from saddlepoint.data import ImageData
from saddlepoint.defences.objectives.ascent import ascendable, step
from saddlepoint.objectives.contract import Standing, StepOutput, TrainingBatch, running
from saddlepoint.objectives.passes import backward, forward, label_loss
from saddlepoint.option_values import BelowOne, Count, check_fields
from saddlepoint.threat import ThreatModel


@dataclass(frozen=True)
class Free:
    """Free-m: m optimiser steps on each batch, whose backward passes move the perturbation too.

    δ is carried from replay to replay and from batch to batch, where it meets other images: that is
    the method. One full pass at clip(x + δ) gives both gradients, and δ ← Π(δ + ε·sgn g) before the
    weights step. An epoch here visits every image m times, so that recipes divide the epochs by m.

    BatchNorm's running statistics move once per optimiser step, as published.

    Args:
        threat: the budget that is trained for.
        m: replays of each batch.
        label_smoothing: the share of the target spread over all classes.

    Reference: Shafahi et al. 2019, arXiv:1904.12843.

    >>> from saddlepoint.threat import Linf
    >>> Free(Linf(8 / 255)).repeats
    8
    """

    threat: ThreatModel
    m: Count = 8
    label_smoothing: BelowOne = 0.0

    paper = "Shafahi et al. 2019, arXiv:1904.12843"
    cost = "m full passes, for m optimiser steps"

    def __post_init__(self) -> None:
        check_fields(self)
        ascendable(self.threat, "Free")

    @property
    def repeats(self) -> int:
        """The optimiser steps on each batch."""
        return self.m

    def begin(self, model: nn.Module, data: ImageData | None = None) -> Replays:
        """Return the run with its perturbation, 0 to begin with."""
        return Replays(self)

    def accumulate(self, model: nn.Module, batch: TrainingBatch) -> StepOutput:
        """Add the gradients of a first step, whose perturbation is 0."""
        return running(self, model).accumulate(model, batch)


class Replays(Standing):
    """A run of Free, with the perturbation that it carries.

    >>> from saddlepoint.threat import Linf
    >>> run = Replays(Free(Linf(0.1)))
    >>> batch = TrainingBatch(torch.ones(1, 2), torch.zeros(1).long(), torch.zeros(1).long(), seed=0)
    >>> _ = run.accumulate(nn.Linear(2, 2), batch)
    >>> bool((run.delta <= 0).all())  # white pixels can only get darker
    True
    """

    def __init__(self, objective: Free) -> None:
        self.objective = objective
        self.delta: Tensor | None = None

    def accumulate(self, model: nn.Module, batch: TrainingBatch) -> StepOutput:
        """Add the gradients at clip(x + δ), and move δ by the gradient of the same pass."""
        threat = ascendable(self.objective.threat, "Free")
        clean = threat.parametrise(batch.images)
        if self.delta is None:
            self.delta = torch.zeros_like(clean)
        n = len(clean)  # the last batch may be short: the first rows of δ are its
        w = threat.project(batch.images, clean + self.delta[:n]).requires_grad_()
        logits = forward(model, batch, threat.render(batch.images, w))
        output = backward(batch, label_loss(batch, logits, self.objective.label_smoothing), logits)
        assert w.grad is not None
        moved = step(threat, batch.images, clean + self.delta[:n], w.grad, None, 1.0)
        self.delta[:n] = moved - clean
        return output

    def state_dict(self) -> dict[str, Tensor]:
        """Return δ, once there is one."""
        return {} if self.delta is None else {"delta": self.delta}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take δ over."""
        self.delta = state["delta"].clone() if "delta" in state else None
