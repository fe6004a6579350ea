"""The first stage of a distillation: a teacher, and its soft labels for the training images."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.data import Data, ImageData, batches
from saddlepoint.defences import Recipe, TrainingObjective
from saddlepoint.defences.recipe import told
from saddlepoint.errors import InputError
from saddlepoint.model import Guard, device_of
from saddlepoint.streams import derive
from saddlepoint.zoo import weights_fingerprint

TEACHER = "teacher"
"""The folder of the teacher's training, within the student's."""
TrainStage = Callable[[nn.Module, Recipe, Path | None, int], nn.Module]
"""From a model, a recipe, a folder and a seed to the trained model."""


@dataclass(frozen=True, eq=False)
class Taught:
    """What a student learns from: soft labels, by the index of the image, and whose they are.

    >>> Taught(torch.full((1, 2), 0.5), "0" * 16).soft.shape
    torch.Size([1, 2])
    """

    soft: Float[Tensor, "N k"]
    fingerprint: str


def needs_teacher(recipe: Recipe, teacher: nn.Module | None) -> bool:
    """Return whether a teacher must be trained first.

    >>> from saddlepoint.defences import Distillation
    >>> needs_teacher(Recipe(), None), needs_teacher(Recipe(objective=Distillation()), None)
    (False, True)
    """
    return _first(recipe.objective) is not None and teacher is None


def teach(
    model: nn.Module,
    data: Data,
    recipe: Recipe,
    teacher: nn.Module | None,
    out: Path | None,
    seed: int,
    stage: TrainStage,
) -> Taught | None:
    """Return the soft labels of the recipe's teacher, trained first where none is given; None where
    the objective has none.

    The teacher begins at the model's own first weights, and sees the images in another order.

    Args:
        model: the student, before its training.
        data: the training images; their soft labels are of them as they are, not augmented.
        teacher: a trained one.
        out: the student's folder.
        seed: the student's.
        stage: trains a model.

    Raises `InputError` for a teacher of other classes, or where the objective has no use for one.

    >>> teach(nn.Linear(2, 2), None, Recipe(), None, None, 0, None)
    """
    objective: Any = recipe.objective
    own = _first(objective)
    if own is None:
        if teacher is not None:
            raise InputError(
                f"{told(objective)} learns from no teacher; leave it out, or train by distillation"
            )
        return None
    assert isinstance(data, ImageData)  # no objective of texts has a teacher
    if teacher is None:
        folder = None if out is None else out / TEACHER
        first = replace(recipe, objective=own)
        teacher = stage(copy.deepcopy(model), first, folder, derive(seed, TEACHER))
    Guard(teacher, 0)  # refuses what is no module
    logits = _logits(teacher, data)
    if logits.shape[1] != len(data.classes):
        raise InputError(
            f"the teacher has {logits.shape[1]} classes, {data.name} has {len(data.classes)}; give a"
            " teacher of these classes"
        )
    return Taught(objective.soft_labels(logits), weights_fingerprint(teacher))


def _first(objective: Any) -> TrainingObjective | None:
    """Return what the teacher of an objective minimises; a network of its own is no such thing."""
    own = getattr(objective, "teacher", None)
    two = isinstance(own, TrainingObjective) and callable(getattr(objective, "soft_labels", None))
    return own if two else None


def _logits(model: nn.Module, data: ImageData) -> Float[Tensor, "N k"]:
    """Return the logits of every image in evaluation mode, in full precision, on the CPU."""
    parts = []
    order = torch.arange(len(data))
    with Guard(model, 0) as guard, guard.exact():
        for _, images, _ in batches(data, order, 512, device=device_of(model)):
            parts.append(guard.logits(images).cpu())
    return torch.cat(parts)
