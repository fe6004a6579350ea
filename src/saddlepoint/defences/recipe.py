"""Recipe: everything that determines a training, as one frozen value."""

from __future__ import annotations

from dataclasses import dataclass, field, is_dataclass
from typing import Annotated, Literal, Protocol, runtime_checkable

from torch import Tensor, nn

from saddlepoint.attacks import PGD
from saddlepoint.configuration import added
from saddlepoint.data import Augmentation, one_after_the_other
from saddlepoint.defences.held_out import Validation, Watch
from saddlepoint.defences.optimiser import Optimiser
from saddlepoint.defences.schedule import Schedule
from saddlepoint.errors import InputError
from saddlepoint.objectives import (
    Standard,
    TrainingObjective,
    is_classification,
    one_class,
    reads_text,
    threat_of,
)
from saddlepoint.option_values import (
    Count,
    Interval,
    NonNegative,
    Positive,
    check_fields,
    check_value,
)


def told(part: object) -> str:
    """Return the name of a transform, a penalty or an objective, for messages.

    >>> told(Recipe)
    'Recipe'
    """
    function = getattr(part, "func", part)  # of a partial one
    return str(getattr(function, "__name__", None) or type(function).__name__)


@runtime_checkable
class ModelTransform(Protocol):
    """A change to the model itself (quantised weights, noise layers …), applied before training.

    >>> isinstance(nn.Identity, ModelTransform)
    True
    """

    def __call__(self, model: nn.Module) -> nn.Module:
        """Return the changed model; it may be the same object."""
        ...


@runtime_checkable
class Penalty(Protocol):
    """A term added to the loss that depends on the weights alone (orthogonal, spectral …).

    A penalty with state is an `nn.Module` with buffers, which the checkpoint then holds. Where it
    has a method `begin(model, images)`, that is called once, before the first step and before a
    checkpoint is read.

    >>> isinstance(lambda model: next(model.parameters()).norm(), Penalty)
    True
    """

    def __call__(self, model: nn.Module) -> Tensor:
        """Return the penalty, a scalar, differentiable in the weights."""
        ...


_EMA = "give a decay between 0 and 1, for instance 0.999"
_SWA = "give a share of training in [0, 1), such as 0.75"


@dataclass(frozen=True)
class Recipe:
    """How a model is trained: transforms of the model, an objective, penalties, and the loop's
    settings.

    Args:
        objective: what a step minimises.
        transforms: applied to the model in order, before training.
        penalties: (weight, penalty) pairs added to the loss.
        epochs, batch_size: of the loop.
        optimiser, schedule: of the descent.
        augmentation: a name of `saddlepoint.data.AUGMENTATIONS`, or several names and
            augmentations, which follow one another.
        ema: the decay of an exponential moving average of the weights, which is then the result;
            None for none.
        swa: the share of training after which the weights are averaged equally, once per epoch,
            for instance 0.75 (Izmailov et al. 2018, arXiv:1803.05407); BatchNorm statistics are
            measured anew; None for none.
        autocast: "bf16" runs the model in bfloat16 where that is safe; the weights stay in float32.
        ema_at: the optimiser steps per epoch that `ema` is stated for, as papers do: with others the
            decay is ema^(ema_at/steps), so that the average spans as many epochs. None takes `ema`
            as it is.
        watch: looks for catastrophic overfitting; None does not.
        validation: holds training images out to choose the best epoch by, and to stop by; None
            trains on all.
        batch_tokens: of texts: a batch has sentences of like length, and of each side at most so many
            tokens, padding among them; None takes `batch_size` sentences as they come.
        mixup, cutmix: α of Beta(α, α): images and labels are mixed in pairs after the augmentation;
            of both, one is drawn for each batch. See `saddlepoint.data.mix`.

    >>> Recipe(epochs=3).objective
    Standard(label_smoothing=0.0)
    """

    objective: TrainingObjective = field(default=Standard())
    transforms: tuple[ModelTransform, ...] = ()
    penalties: tuple[tuple[float, Penalty], ...] = ()
    epochs: Count = 10
    batch_size: Count = 128
    optimiser: Optimiser = field(default=Optimiser())
    schedule: Schedule = field(default=Schedule("one-cycle"))
    augmentation: str | tuple[str | Augmentation, ...] = "none"
    ema: Annotated[float, Interval("(0, 1)", _EMA)] | None = None
    swa: Annotated[float, Interval("[0, 1)", _SWA)] | None = None
    autocast: Literal["bf16"] | None = None
    ema_at: Count | None = added(None)
    watch: Watch | None = added(None)
    validation: Validation | None = added(None)
    mixup: Positive | None = added(None)
    cutmix: Positive | None = added(None)
    batch_tokens: Count | None = added(None)

    def __post_init__(self) -> None:
        check_fields(self)
        one_after_the_other(self.augmentation)  # which refuses what is none
        if self.ema is not None and self.swa is not None:
            raise InputError("ema and swa are two ways to average the weights; give one of them")
        if self.ema_at is not None and self.ema is None:
            raise InputError("ema_at is given without ema; give the decay that it is stated for")
        _check_schedule(self.schedule, self.epochs, self.validation)
        if (self.mixup or self.cutmix) and one_class(self.objective):
            raise InputError(
                f"{told(self.objective)} is a loss of one class for each image; leave mixup and cutmix out"
            )
        if not is_classification(self.objective):
            self._check_no_classifier()
        if reads_text(self.objective):
            self._check_text()
        elif self.batch_tokens is not None:
            raise InputError(
                f"batch_tokens is of texts, and {told(self.objective)} is of images; give batch_size"
            )
        _check_watch(self.watch, self.objective)
        threat = threat_of(self.objective)
        if threat is not None and (self.watch or self.validation):
            PGD(threat)  # which they look by; it refuses what it has no form for
        for weight, penalty in self.penalties:
            check_value(f"the weight of {penalty}", weight, NonNegative)

    def _check_no_classifier(self) -> None:
        asked = {
            "validation chooses by accuracy": self.validation,
            "mixup and cutmix mix labels": self.mixup or self.cutmix,
            "watch attacks a classifier": self.watch,
            # Networks of texts have no BatchNorm, and average their checkpoints so.
            "swa measures BatchNorm anew on the images (ema does not)": (
                None if reads_text(self.objective) else self.swa
            ),
        }
        for what, given in asked.items():
            if given is not None:
                raise InputError(
                    f"{what}, and {told(self.objective)} trains no classifier; leave it out"
                )

    def _check_text(self) -> None:
        asked = {
            "augmentation": self.augmentation != "none",
            "transforms": self.transforms,
            "penalties": self.penalties,
        }
        for what, given in asked.items():
            if given:
                raise InputError(
                    f"{what} are of images, and {told(self.objective)} is of texts; leave them out"
                )

    def decay(self, steps: int) -> float | None:
        """Return the decay of the moving average per optimiser step, of so many in an epoch.

        >>> Recipe(ema=0.9995, ema_at=391).decay(391), round(Recipe(ema=0.9995, ema_at=391).decay(10), 4)
        (0.9995, 0.9806)
        """
        if self.ema is None or self.ema_at is None:
            return self.ema
        return float(self.ema ** (self.ema_at / steps))

    def prepare(self, model: nn.Module) -> nn.Module:
        """Return the model with every transform applied."""
        for transform in self.transforms:
            changed = transform(model)
            if not isinstance(changed, nn.Module):
                raise InputError(
                    f"the transform {told(transform)} returned {changed!r:.60}; return the changed model"
                )
            model = changed
        return model


def _check_schedule(schedule: Schedule, epochs: int, validation: Validation | None) -> None:
    if schedule.name == "plateau" and validation is None:
        raise InputError(
            "the schedule plateau looks at the validation error; give validation: {share: 0.1}"
        )
    if schedule.share(epochs) >= 1:
        raise InputError(
            f"warmup_epochs is {schedule.warmup_epochs:g}, and there are {epochs} epochs; give fewer, or"
            " a share of them by warmup"
        )


def _check_watch(watch: Watch | None, objective: object) -> None:
    if watch is None:
        return
    if threat_of(objective) is None:
        raise InputError(
            f"nothing can be watched in {told(objective)}, which trains for no budget; leave watch out"
        )
    if watch.change == "noise" and not (is_dataclass(objective) and hasattr(objective, "noise")):
        raise InputError(
            f"{told(objective)} has no noise to change; choose change: learning-rate, or n-fgsm"
        )
