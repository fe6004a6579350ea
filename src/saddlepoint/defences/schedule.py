"""Schedule: the learning rate over training, as a pure function."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from saddlepoint.configuration import added
from saddlepoint.errors import InputError
from saddlepoint.option_values import BelowOne, Count, NonNegative, check_fields

_STEPPED = ("constant", "multi-step", "plateau")  # whose `warmup` was never looked at


@dataclass(frozen=True)
class Schedule:
    """The learning rate over training, a function of progress and, for "plateau", of the recorded
    validation errors: it has no state to resume.

    Args:
        name: "constant"; "one-cycle", linear up over the first `warmup` share and down to 0 (Smith
            and Topin 2018, arXiv:1708.07120), and "linear", the same by its usual name; "cosine",
            half a cosine after the warm-up (Loshchilov and Hutter 2017, arXiv:1608.03983);
            "inverse-sqrt", √(w/t) after a warm-up of w steps (Vaswani et al. 2017,
            arXiv:1706.03762); "multi-step", a tenth at each milestone; or "plateau", a tenth
            whenever the validation error stalls (He et al. 2016, arXiv:1512.03385).
        warmup: the share of training in which the rate rises, for the four that rise and fall.
        milestones: shares of training, for multi-step.
        warmup_epochs: the warm-up in epochs, in place of the share, and for every name.
        patience: epochs without a smaller error than ever before that make a plateau; after a tenth
            they are counted anew.

    >>> Schedule("one-cycle", warmup=0.5).factor(0.5), Schedule("multi-step").factor(0.6)
    (1.0, 0.1)
    >>> Schedule("inverse-sqrt", warmup=0.1).factor(0.4)
    0.5
    >>> Schedule("plateau", patience=2).factor(0.6, errors=[0.5, 0.4, 0.4, 0.41])
    0.1
    """

    name: Literal[
        "constant", "one-cycle", "linear", "cosine", "inverse-sqrt", "multi-step", "plateau"
    ] = "constant"
    warmup: BelowOne = 0.3
    milestones: tuple[float, ...] = (0.5, 0.75)
    warmup_epochs: NonNegative | None = added(None)
    patience: Count = added(5)

    def __post_init__(self) -> None:
        check_fields(self, "schedule")
        if self.name == "inverse-sqrt" and self.share(1) == 0:
            raise InputError("schedule: inverse-sqrt has no warm-up to fall from; give warmup: 0.1")

    @property
    def first(self) -> int:
        """What the first step is counted as: 1 where the published formula is of steps from 1, else 0.

        >>> Schedule("inverse-sqrt").first, Schedule("cosine").first
        (1, 0)
        """
        return int(self.name == "inverse-sqrt")

    def share(self, epochs: int) -> float:
        """Return the share of a training of so many epochs in which the rate rises.

        >>> Schedule("cosine", warmup_epochs=5).share(50), Schedule("constant").share(50)
        (0.1, 0.0)
        """
        if self.warmup_epochs is not None:
            return self.warmup_epochs / epochs
        return 0.0 if self.name in _STEPPED else self.warmup

    def factor(self, progress: float, epochs: int = 1, errors: Sequence[float] = ()) -> float:
        """Return what multiplies the peak learning rate.

        Args:
            progress: the share of training that is done.
            epochs: of the whole training, which `warmup_epochs` is a part of.
            errors: the validation error after each epoch so far.
        """
        warmup = self.share(epochs)
        if progress < warmup:
            return progress / warmup
        if self.name == "constant":
            return 1.0
        if self.name == "multi-step":
            return float(0.1 ** sum(progress >= milestone for milestone in self.milestones))
        if self.name == "plateau":
            return float(0.1 ** plateaus(errors, self.patience))
        if self.name == "inverse-sqrt":
            return math.sqrt(warmup / progress)
        rest = (progress - warmup) / (1 - warmup)
        return (1 + math.cos(math.pi * rest)) / 2 if self.name == "cosine" else 1 - rest


def plateaus(errors: Sequence[float], patience: int) -> int:
    """Return how many times the errors have stalled: `patience` in a row, none of them smaller than
    all before.

    >>> plateaus([0.5, 0.4, 0.4, 0.4, 0.3, 0.3, 0.3, 0.3, 0.3], patience=2)
    3
    """
    count, waited, best = 0, 0, math.inf
    for error in errors:
        waited = 0 if error < best else waited + 1
        best = min(best, error)
        if waited == patience:
            count, waited = count + 1, 0
    return count
