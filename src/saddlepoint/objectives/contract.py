"""What an objective is: it adds the gradients of a batch, and may carry something from step to step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from saddlepoint.attacks import Attack
from saddlepoint.counts import check_count
from saddlepoint.data import Data
from saddlepoint.errors import InputError
from saddlepoint.streams import Keys
from saddlepoint.text import Tokens
from saddlepoint.threat import ThreatModel

PART_FILES = ("decoder.safetensors", "discriminator.safetensors")
"""What a running objective's `save` may write into the folder of a training, beside the model."""


@dataclass(frozen=True, eq=False)
class TrainingBatch:
    """A batch as an objective sees it.

    Attributes:
        inputs: images (n, c, h, w) in [0, 1], augmented, or sequences of tokens.
        labels: (n,) classes; of tokens (n, t), where each has one.
        ids: (n,) indices in the data set; with `seed` the key of every random draw.
        seed: differs in every epoch.
        amp: the type of autocast, or None for full precision.
        epoch: from 0.
        soft: (n, k) probabilities that a teacher gave these images; None without one.
        targets: (n, k) probabilities of the classes where images are mixed, whose greater part is that
            of `labels`; None where the labels say all. `label_loss` goes by them.
        written: [BOS] and the sequences that are to be written, of translations alone.

    >>> TrainingBatch(torch.zeros(1, 1, 2, 2), torch.zeros(1).long(), torch.zeros(1).long(), seed=0).amp
    """

    inputs: Tensor | Tokens
    labels: Int64[Tensor, " n"]
    ids: Int64[Tensor, " n"]
    seed: int
    amp: torch.dtype | None = None
    epoch: int = 0
    soft: Float[Tensor, "n k"] | None = None
    targets: Float[Tensor, "n k"] | None = None
    written: Tokens | None = None

    @property
    def images(self) -> Float[Tensor, "n ..."]:
        """The inputs, of a training on images."""
        if not isinstance(self.inputs, Tensor):
            raise TypeError("the inputs are tokens; an objective of images cannot read them")
        return self.inputs

    @property
    def tokens(self) -> Tokens:
        """The inputs, of a training on texts."""
        if not isinstance(self.inputs, Tokens):
            raise TypeError("the inputs are images; an objective of texts cannot read them")
        return self.inputs

    def autocast(self) -> torch.autocast:
        """Return the context in which the model is called."""
        kind = self.ids.device.type
        return torch.autocast(kind, dtype=self.amp, enabled=self.amp is not None)

    @property
    def keys(self) -> Keys:
        """The random streams of the images."""
        return Keys(self.seed, self.ids)


@dataclass(frozen=True, eq=False)
class StepOutput:
    """What a step reports, without a graph.

    Attributes:
        loss: the mean over the images.
        sums: name → (sum, count) of what the metrics of an epoch hold the mean of: "accuracy", the
            loss of a player. A sum that is not finite ends the training.

    >>> logits, labels = torch.tensor([[2.0, 1.0], [0.0, 1.0]]), torch.tensor([0, 0])
    >>> StepOutput.classified(torch.tensor(0.5), logits, labels).sums
    {'accuracy': (tensor(1), 2)}
    """

    loss: Float[Tensor, ""]
    sums: Mapping[str, tuple[Tensor, int]] = field(default_factory=dict)

    @classmethod
    def classified(
        cls, loss: Float[Tensor, ""], logits: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]
    ) -> StepOutput:
        """Return the loss and the accuracy of a classification."""
        right = (logits.detach().argmax(1) == labels).sum()
        return cls(loss.detach(), {"accuracy": (right, len(labels))})


@runtime_checkable
class TrainingObjective(Protocol):
    """Adds the gradients of one batch to the parameters' `.grad`.

    The loop clears them before and steps the optimiser after. An objective is free in how it
    computes them, so that methods which reuse passes (YOPO) or average over several perturbations
    fit. It is a frozen value, and may have besides, all optional:

    - `threat`, the threat model that it trains for, without which it trains for none; or an
      `attack`, which has one.
    - `repeats`, the optimiser steps that are taken on each batch, 1 by default (Free).
    - `begin(model, data)`, which returns what runs in its place and may change from step to step: a
      `Running`, whose state the checkpoints hold. It is called once, before the first step and
      before a checkpoint is read.
    - `reads_text`, True where the inputs are `Tokens`; else they are images.
    - `one_class`, True where its loss has no form for `TrainingBatch.targets` (MART).
    - `teacher` and `soft_labels(logits)`: the objective of a network that is trained first, and what
      its logits become in `TrainingBatch.soft` (distillation).
    - `check(model, data)`, of an objective whose model is no classifier (reconstruction, a game): it
      raises `InputError` where the model does not fit the data or is no longer sound, in place of
      what is asked of a classifier before the first step and after every epoch.
    - `measure(model, data)` beside it, or on what runs: what is told of test images after an epoch,
      numbers by name, in place of the accuracy.

    >>> from saddlepoint.objectives import Standard
    >>> isinstance(Standard(), TrainingObjective)
    True
    """

    def accumulate(self, model: nn.Module, batch: TrainingBatch) -> StepOutput:
        """Add the gradients of `batch`; the model is in train mode and comes out so."""
        ...


@runtime_checkable
class Running(TrainingObjective, Protocol):
    """An objective that carries something from step to step.

    It may have `parts`, a module that is trained beside the model by the same optimiser (a decoder);
    `state_dict` holds what it has of them. It may have `save(out)`, which writes them into the folder
    of a training that has ended, in files of `PART_FILES`; and `metadata(model)`, text by name that the
    final file of the model's weights holds beside them.

    >>> isinstance(running(Standing(), nn.Linear(1, 1)), Running)
    True
    """

    def after_step(self, model: nn.Module) -> None:
        """Put the model in order after the optimiser's step, before the weights are averaged."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """Return the tensors that a checkpoint must hold."""
        ...

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state_dict` returned."""
        ...


class Standing:
    """A running objective without state, to inherit from.

    >>> Standing().state_dict()
    {}
    """

    def accumulate(self, model: nn.Module, batch: TrainingBatch) -> StepOutput:
        """Add nothing: a subclass says what."""
        raise TypeError(f"{type(self).__name__} defines no accumulate")

    def after_step(self, model: nn.Module) -> None:
        """Leave the model as it is."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return no tensors."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take nothing over."""


class _Stateless(Standing):
    """An objective that is the same at every step; its own `after_step` is called where it has one."""

    def __init__(self, objective: TrainingObjective) -> None:
        self._objective = objective

    def accumulate(self, model: nn.Module, batch: TrainingBatch) -> StepOutput:
        return self._objective.accumulate(model, batch)

    def after_step(self, model: nn.Module) -> None:
        after = getattr(self._objective, "after_step", None)
        if callable(after):
            after(model)


def running(objective: TrainingObjective, model: nn.Module, data: Data | None = None) -> Running:
    """Return what runs in an objective's place: what its `begin` returns, where it has one.

    Args:
        objective: a frozen value; it is not changed.
        model: about to be trained.
        data: what on; None is for objectives that need none to begin with.

    >>> from saddlepoint.objectives import Standard
    >>> running(Standard(), nn.Linear(2, 2)).state_dict()
    {}
    """
    begin = getattr(objective, "begin", None)
    if not callable(begin):
        return _Stateless(objective)
    begun = begin(model, data)
    if isinstance(begun, Running):
        return begun
    if not isinstance(begun, TrainingObjective):
        raise InputError(
            f"the objective {type(objective).__name__}: begin returned {begun!r:.60}; return what has"
            " accumulate(model, batch)"
        )
    return _Stateless(begun)  # what lacks only the state is no less an objective


def parts_of(run: object) -> nn.Module | None:
    """Return what a running objective trains beside the model; None for nothing.

    >>> parts_of(Standing())
    """
    parts = getattr(run, "parts", None)
    return parts if isinstance(parts, nn.Module) else None


def is_classification(objective: object) -> bool:
    """Return whether an objective trains a classifier: whether it has no `check` of its own.

    >>> from saddlepoint.objectives import Standard
    >>> is_classification(Standard())
    True
    """
    return not callable(getattr(objective, "check", None))


def reads_text(objective: object) -> bool:
    """Return whether an objective is of texts.

    >>> from saddlepoint.objectives import Classify, Standard
    >>> reads_text(Classify()), reads_text(Standard())
    (True, False)
    """
    return bool(getattr(objective, "reads_text", False))


def threat_of(objective: object) -> ThreatModel | None:
    """Return the threat model that an objective trains for, its own or its attack's; None for none.

    >>> from saddlepoint.defences import AdversarialTraining, Standard
    >>> from saddlepoint.attacks import FGSM
    >>> from saddlepoint.threat import Linf
    >>> str(threat_of(AdversarialTraining(FGSM(Linf(8 / 255))))), threat_of(Standard())
    ('Linf 8/255', None)
    """
    attack: Any = getattr(objective, "attack", None)
    own = getattr(objective, "threat", None)
    found = attack.threat if own is None and isinstance(attack, Attack) else own
    return found if isinstance(found, ThreatModel) else None


def one_class(objective: object) -> bool:
    """Return whether the loss of an objective, or of one inside it, is of one class for each image.

    >>> from saddlepoint.defences import AWP, MART, Standard
    >>> from saddlepoint.threat import Linf
    >>> one_class(AWP(MART(Linf(0.1)))), one_class(Standard())
    (True, False)
    """
    inner = getattr(objective, "objective", None)
    own = bool(getattr(objective, "one_class", False))
    return own or (inner is not None and one_class(inner))


def repeats_of(objective: object) -> int:
    """Return how many optimiser steps an objective takes on each batch.

    >>> from saddlepoint.objectives import Standard
    >>> repeats_of(Standard())
    1
    """
    repeats = getattr(objective, "repeats", 1)
    check_count(f"the objective {type(objective).__name__}: repeats", repeats)
    return int(repeats)
