"""What C&W's attacks share around their loops: checks of the options, and κ."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.tracker import Keeper, Nearest
from saddlepoint.attacks.minimum_norm.carlini_wagner.box import BOXES
from saddlepoint.attacks.minimum_norm.carlini_wagner.loop import Descent
from saddlepoint.attacks.minimum_norm.carlini_wagner.objectives import OBJECTIVES, Confident
from saddlepoint.errors import InputError, unknown


def check_descent(
    how: Descent, confidence: float, initial_c: float | None, bisections: int
) -> None:
    """Raise `InputError` for options that no descent could have.

    >>> check_descent(Descent("f6", "box", 9, 0.01, 9, 0.0, 0), 0.0, None, 0)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: unknown box 'box'; (known: tanh, clipped, projected)
    """
    if how.objective not in OBJECTIVES:
        raise unknown("objective", how.objective, OBJECTIVES)
    if how.box not in BOXES:
        raise unknown("box", how.box, BOXES)
    for name, value in (("learning_rate", how.learning_rate), ("initial_c", initial_c)):
        if value is not None and not 0 < value < math.inf:
            raise InputError(f"{name} is {value}; give a positive number")
    if not 0 <= how.tolerance < 1:
        raise InputError(f"tolerance is {how.tolerance}; give a share from 0 to 1")
    if not 0 <= confidence < math.inf:
        raise InputError(f"confidence is {confidence}; give 0 or more")
    if how.decays < 0 or bisections < 0:
        raise InputError("decays and bisections are counts; give 0 or more")


def demand(batch: Batch, best: Keeper, confidence: float) -> Batch:
    """Return the batch under a criterion that asks for the confidence.

    What `best` holds already, the given `starts`, was recorded without it: what is not as confident
    no longer counts as a success there.

    >>> from saddlepoint.attacks import Misclassified
    >>> from saddlepoint.streams import Keys
    >>> from saddlepoint.model import Guard
    >>> from saddlepoint.threat import L2
    >>> x, rows = torch.zeros(1, 2), torch.arange(1)
    >>> batch = Batch(Guard(torch.nn.Flatten(), 1), L2(), Misclassified(), x, rows, Keys(0, rows), rows)
    >>> demand(batch, Nearest(x), 2.0).margin(x)
    tensor([2.])
    """
    if confidence == 0:
        return batch
    if isinstance(best, Nearest):
        best.margin[batch.index] += confidence
        best.length = torch.where(best.margin < 0, best.length, torch.inf)
    return replace(batch, criterion=Confident(batch.criterion, confidence))
