"""The criterion for models that may reject: of several classes one says "none of them"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from saddlepoint.attacks.core.criteria import Misclassified, difference, odds, ruled
from saddlepoint.errors import InputError
from saddlepoint.option_values import Natural, check_fields


@runtime_checkable
class Rejecting(Protocol):
    """A criterion for a model one of whose classes is a rejection.

    >>> isinstance(AcceptedAsOther(10), Rejecting), isinstance(Misclassified(), Rejecting)
    (True, False)
    """

    @property
    def reject(self) -> int:
        """The class by which the model rejects an image."""
        ...

    def check(self, labels: Int64[Tensor, " n"], classes: int) -> None:
        """Raise `InputError` where labels and outputs are not those of such a model."""
        ...


@dataclass(frozen=True)
class AcceptedAsOther:
    """The image is accepted, as another class than the label: for a model that may reject.

    A rejected image fools nobody, a clean one that is rejected neither: it is right under this
    criterion, and is attacked, since a change that has it accepted as another class is a success.
    How many are rejected must be told beside any accuracy: a model that rejects everything is never
    fooled.

    Args:
        reject: the class by which the model rejects; no label is it.

    Reference: Tramèr 2022, arXiv:2107.11630; Stutz, Hein and Schiele 2020, arXiv:1910.06259.

    >>> logits = torch.tensor([[1.0, 3.0, 0.0], [1.0, 3.0, 4.0], [3.0, 1.0, 0.0]])
    >>> AcceptedAsOther(reject=2).margin(logits, torch.tensor([0, 0, 0]))
    tensor([-2.,  1.,  2.])
    """

    reject: Natural

    holders: ClassVar[int] = 2

    def __post_init__(self) -> None:
        check_fields(self, "AcceptedAsOther")

    def margin(
        self, logits: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Return max(Z_y, Z_r) − max_{j≠y,r} Z_j, where r is the class that rejects."""
        held, others = self._parted(logits, labels)
        (own, holder), (rival, which) = held.max(1), others.max(1)
        return ruled(difference(own, rival), which < holder)

    def log_odds(
        self, logits: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Return log Σ_{j≠y,r} exp Z_j − log(exp Z_y + exp Z_r)."""
        held, others = self._parted(logits, labels)
        return odds(others, held.logsumexp(1))

    def cross_entropy(
        self, logits: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Return −log(softmax(Z)_y + softmax(Z)_r)."""
        return logits.logsumexp(1) - self._parted(logits, labels)[0].logsumexp(1)

    def aims(self, labels: Int64[Tensor, " n"], classes: int) -> Bool[Tensor, "n k"]:
        """Return all classes but the label and the one that rejects."""
        aims = Misclassified().aims(labels, classes)
        aims[:, self.reject] = False
        return aims

    def check(self, labels: Int64[Tensor, " n"], classes: int) -> None:
        """Raise `InputError` where the model has no such class, or none besides, or a label is it.

        >>> AcceptedAsOther(10).check(torch.tensor([0]), 10)
        Traceback (most recent call last):
            ...
        saddlepoint.errors.InputError: class 10 is to reject, but the model has 10 outputs, 0 … 9;
        give the number of the one that rejects
        """
        if self.reject >= classes:
            raise InputError(
                f"class {self.reject} is to reject, but the model has {classes} outputs,"
                f" 0 … {classes - 1}; give the number of the one that rejects"
            )
        if classes < 3:
            raise InputError(
                f"a model with {classes} outputs, of which one rejects, has no other class to be"
                " fooled into; use misclassified"
            )
        if bool((labels == self.reject).any()):
            raise InputError(
                f"{int((labels == self.reject).sum())} labels are {self.reject}, the class that"
                " rejects; give the classes of the images"
            )

    def _parted(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of the label and the rejection, and those of the others; −∞ elsewhere."""
        aims = self.aims(labels, logits.shape[1])
        return logits.masked_fill(aims, -torch.inf), logits.masked_fill(~aims, -torch.inf)
