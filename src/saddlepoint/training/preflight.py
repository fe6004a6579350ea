"""Does the model fit the data, before the first step, and is it sound after an epoch?"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from saddlepoint.answers import check_answered, check_logits, unanswered
from saddlepoint.checks import check_class_names
from saddlepoint.data import Data, ImageData
from saddlepoint.defences import Recipe
from saddlepoint.defences.recipe import told
from saddlepoint.errors import InputError
from saddlepoint.model import Guard, full_precision, is_random
from saddlepoint.objectives import Standard, is_classification, reads_text
from saddlepoint.training.state import State

CLASSIFICATION = Standard()


def check_training(model: nn.Module, data: Data, objective: object = CLASSIFICATION) -> None:
    """Raise `InputError` unless the model has weights to train and logits for the data's classes, or
    is what the objective's own check wants.

    >>> from saddlepoint.data import load_data
    >>> check_training(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), load_data("digits"))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: labels span 0 … 9, but the model has 3 classes: use 0 … 2
    """
    if not len(data):
        raise InputError(f"{data.name} has no images; train on at least one")
    if reads_text(objective) == isinstance(data, ImageData):
        what, held = ("texts", "images") if reads_text(objective) else ("images", "texts")
        raise InputError(
            f"the objective {told(objective)} is of {what}, and {data.name} holds {held}; give another"
            " recipe, or other data"
        )
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise InputError("the model has no weights that can be trained")
    if not is_classification(objective):
        objective.check(model, data)  # type: ignore[attr-defined]
        return
    assert isinstance(data, ImageData)
    logits = _logits(model, data)
    check_logits(logits)
    silent = unanswered(logits)
    check_answered(~silent, model)
    if bool(silent.any()):
        raise InputError(
            f"the model returns NaN or infinite logits for {int(silent.sum())} of {len(logits)}"
            " images: their loss is no number; look for overflow, log(0) or 0/0 in the model"
        )
    check_class_names(data.labels, data.classes, logits.shape[1])


def check_declared(model: nn.Module, data: Data, recipe: Recipe) -> None:
    """Raise `InputError` where a transform has made the model random at inference, and neither it nor
    a layer says so: attacks would take one draw for the model.

    >>> from saddlepoint.data import load_data
    >>> class Noise(nn.Module):
    ...     def forward(self, x):
    ...         return x + torch.randn_like(x)
    >>> def noisy(model):
    ...     return nn.Sequential(model, Noise())
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> check_declared(noisy(net), load_data("digits"), Recipe(transforms=(noisy,)))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: the model is random at inference after the transform noisy, ...
    """
    if not recipe.transforms or not is_classification(recipe.objective) or is_random(model):
        return
    assert isinstance(data, ImageData)
    images = data.images(torch.arange(min(2, len(data))))
    with Guard(model, len(images)) as guard, full_precision(guard.device):
        if guard.passes_agree(images.to(guard.device)):
            return
    names = ", ".join(told(each) for each in recipe.transforms)
    raise InputError(
        f"the model is random at inference after the transform {names}, which does not declare it;"
        " derive the layer that draws from saddlepoint.model.RandomLayer, or give it is_random = True"
    )


def check_sound(model: nn.Module, data: Data, recipe: Recipe, epoch: int) -> None:
    """Raise `InputError` where training has blown the model up: it must not become a checkpoint.

    >>> from saddlepoint.data import load_data
    >>> check_sound(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), load_data("digits"), Recipe(), 1)
    """
    if not is_classification(recipe.objective):
        recipe.objective.check(model, data)  # type: ignore[attr-defined]
        return
    assert isinstance(data, ImageData)
    if bool(unanswered(_logits(model, data)).any()):
        raise InputError(
            f"after epoch {epoch} the model returns NaN or infinite logits; lower the learning rate"
            f" ({recipe.optimiser.learning_rate:g})"
        )


@contextlib.contextmanager
def enough_memory(state: State) -> Iterator[None]:
    """Turn a device that runs out of memory in a step into an `InputError` that says what to lower.

    >>> from saddlepoint.defences import Recipe
    >>> with enough_memory(State(nn.Linear(2, 2), Recipe(batch_size=64), images=100)):
    ...     raise torch.OutOfMemoryError
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: cpu ran out of memory in epoch 1, step 1 of 2; lower batch_size (64) ...
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise InputError(
            f"{state.device} ran out of memory in epoch {state.epoch + 1}, step {state.step + 1} of"
            f" {state.steps}; lower batch_size ({state.recipe.batch_size}) or set autocast: bf16; the"
            " last checkpoint, if there is one, is from before"
        ) from error


def _logits(model: nn.Module, data: ImageData) -> Tensor:
    """Return those of the first two images, in full precision."""
    images = data.images(torch.arange(min(2, len(data))))
    with Guard(model, len(images)) as guard, full_precision(guard.device):
        return guard.logits(images.to(guard.device))
