"""What counts as fooled. Each criterion is a margin: positive while the model holds, negative once
it is fooled.

Fooled means strictly: a tie goes to the true label, so a margin of exactly zero is not a success.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from saddlepoint.errors import InputError, unknown


@runtime_checkable
class Criterion(Protocol):
    """Two functions of the logits: the margin that decides, and the loss that gradient attacks
    ascend.

    >>> isinstance(Misclassified(), Criterion)
    True
    """

    def margin(
        self, logits: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Return a number per sample that is negative exactly where the model is fooled."""
        ...

    def cross_entropy(
        self, logits: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Return the loss per sample that grows as the attack succeeds."""
        ...


@dataclass(frozen=True)
class Misclassified:
    """Another class has a larger logit than the label: the untargeted criterion.

    >>> Misclassified().margin(torch.tensor([[2.0, 1.0], [1.0, 1.0]]), torch.tensor([0, 0]))
    tensor([1., 0.])
    """

    def margin(
        self, logits: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Return Z_y − max_{j≠y} Z_j."""
        return _own(logits, labels) - _others(logits, labels).amax(1)

    def cross_entropy(
        self, logits: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Return −log softmax(Z)_y."""
        return _cross_entropy(logits, labels)


@dataclass(frozen=True)
class Targeted:
    """The target has a larger logit than every other class; `labels` are then the targets.

    >>> Targeted().margin(torch.tensor([[2.0, 1.0]]), torch.tensor([1]))
    tensor([1.])
    """

    def margin(
        self, logits: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Return max_{j≠t} Z_j − Z_t."""
        return -Misclassified().margin(logits, labels)

    def cross_entropy(
        self, logits: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Return log softmax(Z)_t."""
        return -_cross_entropy(logits, labels)


@dataclass(frozen=True)
class OutsideTopK:
    """At least `k` other classes have a larger logit than the label.

    >>> OutsideTopK(2).margin(torch.tensor([[2.0, 3.0, 1.0]]), torch.tensor([0]))
    tensor([1.])
    """

    k: int = 5

    def __post_init__(self) -> None:
        if self.k < 1:
            raise InputError(f"k is {self.k}; OutsideTopK needs k of at least 1")

    def margin(
        self, logits: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Return Z_y minus the k-th largest of the other logits."""
        if logits.shape[1] <= self.k:
            raise InputError(
                f"the model has {logits.shape[1]} classes: every label is among the top {self.k}"
            )
        return _own(logits, labels) - _others(logits, labels).topk(self.k, dim=1).values[:, -1]

    def cross_entropy(
        self, logits: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Return −log softmax(Z)_y."""
        return _cross_entropy(logits, labels)


@dataclass(frozen=True)
class BinaryLogit:
    """For a model with one logit z, class 1 meaning z > 0: the sign of z is not that of the label.

    >>> BinaryLogit().margin(torch.tensor([[2.0], [2.0]]), torch.tensor([1, 0]))
    tensor([ 2., -2.])
    """

    def margin(
        self, logits: Float[Tensor, "n 1"], labels: Int64[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Return z for label 1 and −z for label 0."""
        return logits[:, 0] * (2 * labels - 1)

    def cross_entropy(
        self, logits: Float[Tensor, "n 1"], labels: Int64[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Return log(1 + exp(−margin)), the logistic loss."""
        return functional.softplus(-self.margin(logits, labels))


def parse_criterion(text: str) -> Criterion:
    """Return the criterion of a word: "misclassified", "binary-logit", "outside-top-5" …

    >>> parse_criterion("outside-top-3")
    OutsideTopK(k=3)
    """
    if text == "misclassified":
        return Misclassified()
    if text == "binary-logit":
        return BinaryLogit()
    head, _, k = text.rpartition("-")
    if head == "outside-top" and k.isascii() and k.isdecimal():
        return OutsideTopK(int(k))
    raise unknown("criterion", text, ("misclassified", "binary-logit", "outside-top-5"))


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return −log softmax(Z)_y as log(1 + exp(log Σ_{j≠y} exp Z_j − Z_y)).

    In the usual form the gradient 1 − p is exactly 0 in float32 from a margin of 17 on, and a
    confident model would look robust; in this one it lasts to a margin of 100.
    """
    return functional.softplus(_others(logits, labels).logsumexp(1) - _own(logits, labels))


def _own(logits: Tensor, labels: Tensor) -> Tensor:
    return logits.gather(1, labels[:, None]).squeeze(1)


def _others(logits: Tensor, labels: Tensor) -> Tensor:
    return logits.scatter(1, labels[:, None], -torch.inf)
