"""Training objectives: what a step minimises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from saddlepoint.answers import model_failed
from saddlepoint.attacks import FIXED_BUDGET, Attack
from saddlepoint.errors import InputError
from saddlepoint.option_values import BelowOne, check_fields
from saddlepoint.progress import passed


@dataclass(frozen=True, eq=False)
class TrainingBatch:
    """A batch as an objective sees it.

    Attributes:
        images: (n, c, h, w) in [0, 1], augmented.
        labels: (n,) classes.
        ids: (n,) indices in the data set; with `seed` the key of every random draw.
        seed: differs in every epoch.
        amp: the type of autocast, or None for full precision.

    >>> TrainingBatch(torch.zeros(1, 1, 2, 2), torch.zeros(1).long(), torch.zeros(1).long(), seed=0).amp
    """

    images: Float[Tensor, "n ..."]
    labels: Int64[Tensor, " n"]
    ids: Int64[Tensor, " n"]
    seed: int
    amp: torch.dtype | None = None

    def autocast(self) -> torch.autocast:
        """Return the context in which the model is called."""
        kind = self.images.device.type
        return torch.autocast(kind, dtype=self.amp, enabled=self.amp is not None)


@dataclass(frozen=True, eq=False)
class StepOutput:
    """What a step reports: the mean loss and the logits that it was computed from.

    >>> StepOutput(torch.tensor(0.5), torch.zeros(1, 2)).loss
    tensor(0.5000)
    """

    loss: Float[Tensor, ""]
    logits: Float[Tensor, "n k"]


@runtime_checkable
class TrainingObjective(Protocol):
    """Adds the gradients of one batch to the parameters' `.grad`.

    The loop clears them before and steps the optimiser after. An objective is free in how it
    computes them, so that methods which reuse passes (YOPO) or average over several perturbations
    fit.

    >>> isinstance(Standard(), TrainingObjective)
    True
    """

    def accumulate(self, model: nn.Module, batch: TrainingBatch) -> StepOutput:
        """Add the gradients of `batch`; the model is in train mode and comes out so."""
        ...


@dataclass(frozen=True)
class Standard:
    """Cross-entropy on the clean images.

    Args:
        label_smoothing: the share of the target spread over all classes.

    >>> net = nn.Linear(2, 2)
    >>> batch = TrainingBatch(torch.ones(1, 2), torch.zeros(1).long(), torch.zeros(1).long(), seed=0)
    >>> output = Standard().accumulate(net, batch)
    >>> net.weight.grad.shape
    torch.Size([2, 2])
    """

    label_smoothing: BelowOne = 0.0

    def __post_init__(self) -> None:
        check_fields(self)

    def accumulate(self, model: nn.Module, batch: TrainingBatch) -> StepOutput:
        """Add the gradients of the cross-entropy on the images as they are."""
        return descend(model, batch, batch.images, self.label_smoothing)


@dataclass(frozen=True)
class AdversarialTraining:
    """Cross-entropy on adversarial images alone, made by the current model: min E max loss.

    Args:
        attack: the inner maximisation; its last iterate is trained on.
        mode: the BatchNorm statistics that the attack sees: "eval", the running ones, or "train",
            those of the batch. The running statistics are moved by the descent step alone.
        label_smoothing: the share of the target spread over all classes.

    Reference: Madry, Makelov, Schmidt, Tsipras and Vladu 2018, arXiv:1706.06083.

    >>> from saddlepoint.attacks import PGD
    >>> from saddlepoint.threat import Linf
    >>> AdversarialTraining(PGD(Linf(8 / 255), steps=10, step_size=2 / 255)).mode
    'eval'
    """

    attack: Attack
    mode: Literal["eval", "train"] = "eval"
    label_smoothing: BelowOne = 0.0

    def __post_init__(self) -> None:
        check_fields(self)
        if not isinstance(self.attack, Attack) or self.attack.kind is not FIXED_BUDGET:
            raise InputError("adversarial training needs a fixed-budget attack, for instance PGD")

    def accumulate(self, model: nn.Module, batch: TrainingBatch) -> StepOutput:
        """Maximise over the perturbation, then add the gradients at the maximum."""
        with batch.autocast():
            adversarials = self.attack.candidates(
                model, batch.images, batch.labels, seed=batch.seed, ids=batch.ids, mode=self.mode
            )
        return descend(model, batch, adversarials, self.label_smoothing)


def descend(
    model: nn.Module, batch: TrainingBatch, images: Tensor, label_smoothing: float
) -> StepOutput:
    """Add the gradients of the mean cross-entropy on `images`.

    >>> batch = TrainingBatch(torch.ones(1, 2), torch.zeros(1).long(), torch.zeros(1).long(), seed=0)
    >>> descend(nn.Linear(2, 2), batch, batch.images, 0.0).logits.shape
    torch.Size([1, 2])
    """
    try:
        with batch.autocast():
            logits = model(images.clone())  # which the model may write into
    except Exception as error:  # for instance BatchNorm of one image
        raise model_failed("cannot be trained on", images, error) from error
    passed(len(images))
    loss = functional.cross_entropy(logits.float(), batch.labels, label_smoothing=label_smoothing)
    loss.backward()  # type: ignore[no-untyped-call]
    return StepOutput(loss.detach(), logits.detach())
