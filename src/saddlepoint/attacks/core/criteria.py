"""What counts as fooled. Each criterion is a margin: negative exactly where the model is fooled.

A prediction is torch's argmax, so of equal largest logits the lowest class wins. A tie that the
attack wins has the smallest negative margin there is, one that it loses a margin of 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from saddlepoint.answers import NO_CLASS, unanswered
from saddlepoint.errors import InputError
from saddlepoint.option_values import Count, check_fields

# The margin of a tie that is won: no difference of two logits lies between it and 0.
_WON_TIE = -torch.finfo(torch.float32).tiny


@runtime_checkable
class Criterion(Protocol):
    """Three functions of the logits: the margin that decides, and two losses that attacks ascend.

    >>> isinstance(Misclassified(), Criterion)
    True
    """

    def margin(
        self, logits: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Return a number per sample that is negative exactly where the model is fooled."""
        ...

    def log_odds(
        self, logits: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Return the logarithm of the odds of success, p/(1 − p), per sample.

        It rises with the cross-entropy, but its gradient does not vanish, whatever the scale of the
        logits.
        """
        ...

    def cross_entropy(
        self, logits: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Return the softmax cross-entropy as published, per sample, growing as the attack
        succeeds.

        Its gradient is 0 in float32 where the model is confident.
        """
        ...


@runtime_checkable
class Aimed(Protocol):
    """A criterion that any of several classes meets by coming first: an attack may aim at each.

    >>> isinstance(Misclassified(), Aimed), isinstance(OutsideTopK(2), Aimed)
    (True, False)
    """

    @property
    def holders(self) -> int:
        """How many classes there are besides, of any image: if one of them comes first, nothing is
        fooled.
        """
        ...

    def aims(self, labels: Int64[Tensor, " n"], classes: int) -> Bool[Tensor, "n k"]:
        """Return which classes fool where they come first."""
        ...


class _AgainstTheLabel:
    """The losses of a criterion that any other class meets."""

    def log_odds(
        self, logits: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Return log Σ_{j≠y} exp Z_j − Z_y."""
        return _log_odds(logits, labels)

    def cross_entropy(
        self, logits: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Return −log softmax(Z)_y."""
        return _cross_entropy(logits, labels)


@dataclass(frozen=True)
class Misclassified(_AgainstTheLabel):
    """The class is another than the label: the untargeted criterion.

    >>> logits = torch.tensor([[2.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    >>> Misclassified().margin(logits, torch.tensor([0, 0, 1])) < 0
    tensor([False, False,  True])
    """

    holders: ClassVar[int] = 1

    def margin(
        self, logits: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Return Z_y − max_{j≠y} Z_j."""
        own, (rival, which) = _own(logits, labels), _others(logits, labels).max(1)
        return ruled(difference(own, rival), which < labels)

    def aims(self, labels: Int64[Tensor, " n"], classes: int) -> Bool[Tensor, "n k"]:
        """Return all classes but the label."""
        return torch.arange(classes, device=labels.device) != labels[:, None]


@dataclass(frozen=True)
class Targeted:
    """The class is the target; `labels` are then the targets.

    >>> Targeted().margin(torch.tensor([[2.0, 1.0], [1.0, 1.0]]), torch.tensor([1, 0])) < 0
    tensor([False,  True])
    """

    def margin(
        self, logits: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Return max_{j≠t} Z_j − Z_t."""
        own, (rival, which) = _own(logits, labels), _others(logits, labels).max(1)
        return ruled(difference(rival, own), labels < which)

    def log_odds(
        self, logits: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Return Z_t − log Σ_{j≠t} exp Z_j."""
        return -_log_odds(logits, labels)

    def cross_entropy(
        self, logits: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Return log softmax(Z)_t."""
        return -_cross_entropy(logits, labels)


@dataclass(frozen=True)
class OutsideTopK(_AgainstTheLabel):
    """At least `k` other classes come before the label, ranked by logit and then by number.

    >>> OutsideTopK(2).margin(torch.tensor([[2.0, 3.0, 1.0]]), torch.tensor([0]))
    tensor([1.])
    """

    k: Count = 5

    def __post_init__(self) -> None:
        check_fields(self, "OutsideTopK")

    def margin(
        self, logits: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Return Z_y minus the k-th largest of the other logits."""
        if logits.shape[1] <= self.k:
            raise InputError(
                f"the model has {logits.shape[1]} classes: every label is among the top {self.k}"
            )
        own, others = _own(logits, labels), _others(logits, labels)
        rival = others.topk(self.k, dim=1).values[:, -1]
        lower = torch.arange(logits.shape[1], device=logits.device) < labels[:, None]
        before = (others > own[:, None]) | ((others == own[:, None]) & lower)
        return ruled(difference(own, rival), before.sum(1) >= self.k)


@dataclass(frozen=True)
class BinaryLogit:
    """For a model with one logit z, class 1 meaning z > 0: the class is not the label.

    >>> BinaryLogit().margin(torch.tensor([[2.0], [2.0]]), torch.tensor([1, 0]))
    tensor([ 2., -2.])
    """

    def margin(
        self, logits: Float[Tensor, "n 1"], labels: Int64[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Return z for label 1 and −z for label 0."""
        return ruled(logits[:, 0] * (2 * labels - 1), labels == 1)

    def log_odds(
        self, logits: Float[Tensor, "n 1"], labels: Int64[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Return −margin."""
        return -self.margin(logits, labels)

    def cross_entropy(
        self, logits: Float[Tensor, "n 1"], labels: Int64[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Return log(1 + exp(−margin)), the logistic loss."""
        return functional.softplus(-self.margin(logits, labels))


Loss = Literal["cross-entropy", "margin", "softmax-cross-entropy"]
LOSSES: Mapping[str, Callable[[Criterion, Tensor, Tensor], Tensor]] = MappingProxyType(
    {
        "cross-entropy": lambda criterion, logits, goals: criterion.log_odds(logits, goals),
        "margin": lambda criterion, logits, goals: -criterion.margin(logits, goals),
        "softmax-cross-entropy": lambda criterion, logits, goals: criterion.cross_entropy(
            logits, goals
        ),
    }
)
"""What attacks ascend, by name.

Attacks that step by the direction of the gradient alone ascend the cross-entropy through the
log-odds, which rise with it; "softmax-cross-entropy" is the published form, whose gradient is 0
where the model is confident.
"""


def predict(logits: Float[Tensor, "n k"]) -> Int64[Tensor, " n"]:
    """Return the classes: the lowest of the largest logits, and of one logit z whether z > 0; −1,
    `NO_CLASS`, where the logits are no answer.

    >>> predict(torch.tensor([[1.0, 3.0, 3.0]])), predict(torch.tensor([[0.0], [0.1]]))
    (tensor([1]), tensor([0, 1]))
    >>> predict(torch.tensor([[1.0, float("nan")], [1.0, 3.0]]))
    tensor([-1,  1])
    """
    first = logits.argmax(1) if logits.shape[1] > 1 else (logits[:, 0] > 0).long()
    return torch.where(unanswered(logits), NO_CLASS, first)


def tied(logits: Float[Tensor, "n k"]) -> Bool[Tensor, " n"]:
    """Return where the class hangs on a rule: equal largest logits, or one logit of exactly 0.

    >>> tied(torch.tensor([[1.0, 3.0, 3.0], [1.0, 1.0, 3.0]]))
    tensor([ True, False])
    """
    if logits.shape[1] == 1:
        return logits[:, 0] == 0
    top = logits.topk(2, dim=1).values
    return (top[:, 0] == top[:, 1]) & ~unanswered(logits)


def ruled(margin: Tensor, won: Tensor) -> Tensor:
    """Return the margin, moved just below 0 where it is a tie that is won; its gradient stays.

    >>> ruled(torch.zeros(2), torch.tensor([True, False])) < 0
    tensor([ True, False])
    """
    return margin + torch.where((margin == 0) & won, _WON_TIE, 0.0)


def difference(a: Tensor, b: Tensor) -> Tensor:
    """Return a − b, and 0 for equal infinities.

    >>> difference(torch.tensor([-torch.inf, 1.0]), torch.tensor([-torch.inf, -torch.inf]))
    tensor([0., inf])
    """
    return torch.where((a == b) & a.isinf(), 0.0, a - b)


def _log_odds(logits: Tensor, labels: Tensor) -> Tensor:
    """Return log Σ_{j≠y} exp Z_j − Z_y, the logarithm of the odds against the label.

    The cross-entropy is softplus of it, and multiplies its gradient by 1 − p_y, which is exactly 0
    in float32 from a margin of 17 on. Where only the label is finite, nothing leads anywhere: 0.
    """
    return odds(_others(logits, labels), _own(logits, labels))


def odds(others: Float[Tensor, "n k"], own: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Return log Σ exp `others` − `own`; 0, which leads nowhere, where all others are −∞.

    >>> odds(torch.tensor([[0.0, -torch.inf], [-torch.inf, -torch.inf]]), torch.tensor([2.0, 2.0]))
    tensor([-2.,  0.])
    """
    alone = others.amax(1, keepdim=True) == -torch.inf
    found = torch.where(alone, 0.0, others).logsumexp(1) - own
    return torch.where(alone[:, 0], 0.0, found)


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(logits, labels, reduction="none")


def _own(logits: Tensor, labels: Tensor) -> Tensor:
    return logits.gather(1, labels[:, None]).squeeze(1)


def _others(logits: Tensor, labels: Tensor) -> Tensor:
    return logits.scatter(1, labels[:, None], -torch.inf)
