"""Carlini and Wagner's seven objectives, each of which is 0 or less only where the model is fooled.

They are written of a criterion, so that a targeted attack (t the target) and an untargeted one (the
margin of the label in place of the target's) read alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from saddlepoint.attacks.core.confidence import Confident
from saddlepoint.attacks.core.criteria import Aimed, BinaryLogit, Criterion, Targeted
from saddlepoint.errors import InputError

ObjectiveName = Literal["f1", "f2", "f3", "f4", "f5", "f5b", "f6", "f7"]
Values = Callable[[Criterion, Tensor, Tensor], Tensor]
"""From a criterion, logits (m, k) and goals (m,) to the objective of each sample (m,)."""


def f1(criterion: Criterion, logits: Tensor, goals: Tensor) -> Tensor:
    """Return −log₂ F_t − 1 (the paper prints the sign the other way)."""
    return -_log_probability(criterion, logits, goals) / math.log(2) - 1


def f2(criterion: Criterion, logits: Tensor, goals: Tensor) -> Tensor:
    """Return (max_{i≠t} F_i − F_t)⁺."""
    return _probability_margin(criterion, logits, goals).relu()


def f3(criterion: Criterion, logits: Tensor, goals: Tensor) -> Tensor:
    """Return softplus(max_{i≠t} F_i − F_t) − log 2."""
    return functional.softplus(_probability_margin(criterion, logits, goals)) - math.log(2)


def f4(criterion: Criterion, logits: Tensor, goals: Tensor) -> Tensor:
    """Return (0.5 − F_t)⁺."""
    return (0.5 - _log_probability(criterion, logits, goals).exp()).relu()


def f5(criterion: Criterion, logits: Tensor, goals: Tensor) -> Tensor:
    """Return −log(2F_t): what the paper prints, and ln 2 times f1."""
    return -_log_probability(criterion, logits, goals) - math.log(2)


def f5b(criterion: Criterion, logits: Tensor, goals: Tensor) -> Tensor:
    """Return log(2 − 2F_t): what the paper may have meant by f5."""
    return math.log(2) + _log_complement(criterion, logits, goals)


def f6(criterion: Criterion, logits: Tensor, goals: Tensor) -> Tensor:
    """Return (max_{i≠t} Z_i − Z_t)⁺, the paper's choice."""
    return criterion.margin(logits, goals).relu()


def f7(criterion: Criterion, logits: Tensor, goals: Tensor) -> Tensor:
    """Return softplus(max_{i≠t} Z_i − Z_t) − log 2."""
    return functional.softplus(criterion.margin(logits, goals)) - math.log(2)


OBJECTIVES: Mapping[str, Values] = MappingProxyType(
    {"f1": f1, "f2": f2, "f3": f3, "f4": f4, "f5": f5, "f5b": f5b, "f6": f6, "f7": f7}
)
"""The objectives by name.

f1, f4, f5 and f5b ask for a probability of one half: sufficient for class t, and necessary only
where there are two classes. f2, f3, f6 and f7 are 0 exactly where class t ties with another.
"""


def _inner(criterion: Criterion, logits: Tensor, goals: Tensor) -> tuple[Criterion, Tensor]:
    if isinstance(criterion, Confident):
        return criterion.criterion, criterion.shifted(logits, goals)
    return criterion, logits


def _probability_margin(criterion: Criterion, logits: Tensor, goals: Tensor) -> Tensor:
    criterion, logits = _inner(criterion, logits, goals)
    if isinstance(criterion, BinaryLogit):  # F is (σ(−z), σ(z)), and their difference tanh(z/2)
        return (criterion.margin(logits, goals) / 2).tanh()
    return criterion.margin(logits.softmax(1), goals)


def _log_probability(criterion: Criterion, logits: Tensor, goals: Tensor) -> Tensor:
    """Return log F_t; untargeted, t is the strongest class that may be aimed at."""
    criterion, logits = _inner(criterion, logits, goals)
    if isinstance(criterion, BinaryLogit):
        return functional.logsigmoid(-criterion.margin(logits, goals))
    logs = logits.log_softmax(1)
    return logs.gather(1, _reached(criterion, logs, goals)).squeeze(1)


def _log_complement(criterion: Criterion, logits: Tensor, goals: Tensor) -> Tensor:
    """Return log(1 − F_t), exact also where F_t is almost 1."""
    criterion, logits = _inner(criterion, logits, goals)
    if isinstance(criterion, BinaryLogit):
        return functional.logsigmoid(criterion.margin(logits, goals))
    others = logits.scatter(1, _reached(criterion, logits, goals), -torch.inf)
    return others.logsumexp(1) - logits.logsumexp(1)


def _reached(criterion: Criterion, scores: Tensor, goals: Tensor) -> Tensor:
    if isinstance(criterion, Targeted):
        return goals[:, None]
    if isinstance(criterion, Aimed):
        aims = criterion.aims(goals, scores.shape[1])
        return scores.masked_fill(~aims, -torch.inf).argmax(1, keepdim=True)
    raise InputError(f"f1, f4, f5 and f5b ask for one class, {criterion} for more; use f6 or f7")
