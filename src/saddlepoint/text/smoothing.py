"""Label smoothing: not all of the target is on the right word.

Szegedy et al., Rethinking the Inception Architecture, 2016, arXiv:1512.00567, section 7; with ε = 0.1
in Vaswani et al. 2017, arXiv:1706.03762. Where one reads that the confidence in the right word becomes
0.1, that is a slip: it becomes 0.9, or 0.9 + 0.1/K.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float, Int64
from torch import Tensor

from saddlepoint.errors import InputError
from saddlepoint.option_values import BelowOne, check_fields
from saddlepoint.text.tokens import IGNORED


@dataclass(frozen=True)
class OverAll:
    """ε is spread over all K words, the right one among them, which then has 1 − ε + ε/K; as torch
    does.

    >>> round(OverAll(0.1).floor(10), 6), round(OverAll(0.1).gap(10), 6)
    (0.500288, 4.51086)
    """

    eps: BelowOne = 0.1

    def __post_init__(self) -> None:
        check_fields(self)

    def shares(self, k: int) -> tuple[float, float]:
        """Return the targets (p, q) of the right word and of every other one."""
        return 1 - self.eps + self.eps / k, self.eps / k

    def floor(self, k: int) -> float:
        """Return the least loss that is possible, the entropy −p log p − (K − 1) q log q."""
        p, q = self.shares(k)
        return -p * math.log(p) - ((k - 1) * q * math.log(q) if q else 0.0)

    def gap(self, k: int) -> float:
        """Return the difference log(p/q) of the logits at which it is reached."""
        p, q = self.shares(k)
        return math.log(p / q) if q else math.inf

    def loss(self, logits: Float[Tensor, "... k"], labels: Int64[Tensor, ...]) -> Float[Tensor, ""]:
        """Return the mean cross-entropy of the positions whose label is not `IGNORED`; 0 where there
        is none.
        """
        chosen = labels != IGNORED
        logs = logits[chosen].log_softmax(-1)
        p, q = self.shares(logits.shape[-1])
        right = logs.gather(-1, labels[chosen][:, None]).squeeze(-1)
        each = -(p - q) * right - (q * logs.sum(-1) if q else 0.0)
        return each.sum() / chosen.sum().clamp_min(1)


@dataclass(frozen=True)
class OverOthers(OverAll):
    """ε is spread over the K − 1 other words, and the right one has 1 − ε.

    >>> round(OverOthers(0.1).floor(10), 6)
    0.544805
    """

    def shares(self, k: int) -> tuple[float, float]:
        """Return the targets (p, q) of the right word and of every other one."""
        if k < 2:
            raise InputError("there is one word alone, and no other to spread over")
        return 1 - self.eps, self.eps / (k - 1)


SMOOTHINGS: Mapping[str, type[OverAll]] = {"all": OverAll, "others": OverOthers}
"""What ε is spread over, by name."""


def masked_loss(logits: Float[Tensor, "... v"], labels: Int64[Tensor, ...]) -> Float[Tensor, ""]:
    """Return the mean cross-entropy of the positions whose label is not `IGNORED`; 0, and not NaN,
    where none was chosen.

    >>> import torch
    >>> masked_loss(torch.zeros(1, 2, 4), torch.tensor([[IGNORED, 3]])).exp().item()
    4.0
    """
    return OverAll(0.0).loss(logits, labels)
