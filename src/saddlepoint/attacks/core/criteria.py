"""What counts as fooled. Each criterion is a margin: negative exactly where the model is fooled.

A prediction is torch's argmax, so of equal largest logits the lowest class wins. A tie that the
attack wins has the smallest negative margin there is, one that it loses a margin of 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from saddlepoint.errors import InputError, unknown
from saddlepoint.option_values import Count, check_fields
from saddlepoint.plugins import from_file, is_file_spec, lacks, why

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

    def margin(
        self, logits: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Return Z_y − max_{j≠y} Z_j."""
        own, (rival, which) = _own(logits, labels), _others(logits, labels).max(1)
        return _ruled(_difference(own, rival), which < labels)


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
        return _ruled(_difference(rival, own), labels < which)

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
        return _ruled(_difference(own, rival), before.sum(1) >= self.k)


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
        return _ruled(logits[:, 0] * (2 * labels - 1), labels == 1)

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


def parse_criterion(text: str) -> Criterion:
    """Return the criterion of a word: "misclassified", "binary-logit", "outside-top-5" …, or
    `FILE.py:NAME`, whose code is run: a `Criterion`, or a class of it that needs no argument.

    >>> parse_criterion("outside-top-3")
    OutsideTopK(k=3)
    """
    if is_file_spec(text):
        return _brought(text)
    if text == "misclassified":
        return Misclassified()
    if text == "binary-logit":
        return BinaryLogit()
    head, _, k = text.rpartition("-")
    if head == "outside-top" and k.isascii() and k.isdecimal():
        return OutsideTopK(int(k))
    raise unknown("criterion", text, ("misclassified", "binary-logit", "outside-top-5"))


def _brought(text: str) -> Criterion:
    found = from_file(text)
    arguments = ("logits", "labels")
    lacks(text, found, dict.fromkeys(("margin", "log_odds", "cross_entropy"), arguments))
    if isinstance(found, type):
        try:
            found = found()
        except Exception as error:
            raise InputError(f"{text} cannot be made without arguments: {why(error)}") from error
    made = cast(Criterion, found)
    try:
        margin: object = made.margin(torch.zeros(2, 10), torch.arange(2))
    except Exception:  # it may be for other logits
        return made
    if not isinstance(margin, Tensor) or margin.shape != (2,):
        seen = tuple(margin.shape) if isinstance(margin, Tensor) else repr(margin)[:60]
        raise InputError(f"{text}: margin returned {seen} for 2 images; return one number for each")
    return made


def predict(logits: Float[Tensor, "n k"]) -> Int64[Tensor, " n"]:
    """Return the classes: the lowest of the largest logits, and of one logit z whether z > 0.

    >>> predict(torch.tensor([[1.0, 3.0, 3.0]])), predict(torch.tensor([[0.0], [0.1]]))
    (tensor([1]), tensor([0, 1]))
    """
    return logits.argmax(1) if logits.shape[1] > 1 else (logits[:, 0] > 0).long()


def tied(logits: Float[Tensor, "n k"]) -> Bool[Tensor, " n"]:
    """Return where the class hangs on a rule: equal largest logits, or one logit of exactly 0.

    >>> tied(torch.tensor([[1.0, 3.0, 3.0], [1.0, 1.0, 3.0]]))
    tensor([ True, False])
    """
    if logits.shape[1] == 1:
        return logits[:, 0] == 0
    top = logits.topk(2, dim=1).values
    return top[:, 0] == top[:, 1]


def _ruled(margin: Tensor, won: Tensor) -> Tensor:
    """Return the margin, moved just below 0 where it is a tie that is won; its gradient stays."""
    return margin + torch.where((margin == 0) & won, _WON_TIE, 0.0)


def _difference(a: Tensor, b: Tensor) -> Tensor:
    """Return a − b, and 0 for equal infinities."""
    return torch.where((a == b) & a.isinf(), 0.0, a - b)


def _log_odds(logits: Tensor, labels: Tensor) -> Tensor:
    """Return log Σ_{j≠y} exp Z_j − Z_y, the logarithm of the odds against the label.

    The cross-entropy is softplus of it, and multiplies its gradient by 1 − p_y, which is exactly 0
    in float32 from a margin of 17 on. Where only the label is finite, nothing leads anywhere: 0.
    """
    others = _others(logits, labels)
    alone = others.amax(1, keepdim=True) == -torch.inf
    odds = torch.where(alone, logits.detach(), others).logsumexp(1) - _own(logits, labels)
    return torch.where(alone[:, 0], 0.0, odds)


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(logits, labels, reduction="none")


def _own(logits: Tensor, labels: Tensor) -> Tensor:
    return logits.gather(1, labels[:, None]).squeeze(1)


def _others(logits: Tensor, labels: Tensor) -> Tensor:
    return logits.scatter(1, labels[:, None], -torch.inf)
