"""Are the outputs of a model the classes of the data? Asked before any attack."""

from __future__ import annotations

import torch
from torch import nn

from saddlepoint.attacks import BinaryLogit, Criterion, Rejecting
from saddlepoint.checks import check_class_names
from saddlepoint.data import ImageData
from saddlepoint.errors import InputError
from saddlepoint.model import Guard, full_precision


def check_outputs(
    model: nn.Module,
    data: ImageData,
    criterion: Criterion | None = None,
    what: str = "the model",
) -> tuple[str, ...]:
    """Return a note where the model has more outputs than the data has numbered classes.

    One pass of one image. Raises `InputError` where the outputs cannot be the classes.

    >>> from saddlepoint.data import load_data
    >>> check_outputs(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), load_data("digits", limit=1))
    ()
    """
    outputs = _outputs(model, data)
    if outputs == 1:  # the criterion says whether that can be
        outputs = 2 if isinstance(criterion, BinaryLogit) else len(data.classes)
    if isinstance(criterion, Rejecting):
        criterion.check(data.labels, outputs)
        outputs -= criterion.reject >= len(data.classes)  # it is no class of the data
    return check_class_names(data.labels, data.classes, outputs, what)


def check_target(target: int, model: nn.Module, data: ImageData) -> None:
    """Raise `InputError` for a target that is no class: of the data, or, where its classes are only
    the numbers of its labels, of the model.

    >>> from saddlepoint.data import load_data
    >>> net, data = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), load_data("digits", limit=3)
    >>> check_target(9, net, data)
    """
    classes = len(data.classes)
    if target >= classes and all(name == str(i) for i, name in enumerate(data.classes)):
        classes = max(classes, _outputs(model, data))
    if not 0 <= target < classes:
        raise InputError(f"target is {target}; the classes are 0 … {classes - 1}")


def _outputs(model: nn.Module, data: ImageData) -> int:
    image = data.images(torch.arange(1))
    with Guard(model, 1) as guard, full_precision(guard.device):
        return int(guard.logits(image.to(guard.device)).shape[1])
