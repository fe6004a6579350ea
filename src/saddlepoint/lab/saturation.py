"""How far a softmax is saturated: what is exactly 0 in floating point, and how large logits are."""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from saddlepoint.attacks import Misclassified
from saddlepoint.attacks.core.criteria import LOSSES
from saddlepoint.lab.outputs import ROWS, logits_of
from saddlepoint.model import Guard

PRINTED_LOGITS = (
    -674.3225, -371.59705, -177.78831, 562.87225, -1313.5781, 998.18207, -886.97107, -511.58194,
    -126.719666, -43.129272,
)  # fmt: skip
"""The logits of a distilled network that were published with the explanation of JSMA's failure.

The class is 5; class 3 is the target.

>>> one_hot(torch.tensor([PRINTED_LOGITS]))
tensor([True])
"""


# What is said of saturated outputs; where they are looked at, it is the finding.
_SAID = ("the gradient was exactly 0", "the model's outputs are all in")


@contextlib.contextmanager
def saturation_expected() -> Iterator[None]:
    """Keep attacks from warning of zero gradients and of probabilities while the block runs.

    >>> with saturation_expected():
    ...     warnings.warn("the gradient was exactly 0 at every step", UserWarning)
    """
    with warnings.catch_warnings():
        for said in _SAID:
            warnings.filterwarnings("ignore", message=said)
        yield


def one_hot(logits: Float[Tensor, "n k"]) -> Bool[Tensor, " n"]:
    """Return where the softmax is exactly 1 for one class and exactly 0 for all others.

    >>> logits = torch.tensor([[150.0, 0.0], [50.0, 0.0]])
    >>> one_hot(logits), one_hot(logits.double())
    (tensor([ True, False]), tensor([False, False]))
    """
    probabilities = logits.softmax(1)
    return (probabilities == 1).any(1) & ((probabilities == 0).sum(1) == logits.shape[1] - 1)


def vanished(logits: Float[Tensor, "n k"]) -> Float[Tensor, " n"]:
    """Return the share of the classes other than the first-ranked whose probability is exactly 0.

    >>> vanished(torch.tensor([[150.0, 140.0, 0.0]]))
    tensor([0.5000])
    """
    return (logits.softmax(1) == 0).sum(1) / (logits.shape[1] - 1)


def in_double(model: nn.Module) -> nn.Module:
    """Return a copy of the model in float64.

    >>> in_double(nn.Linear(1, 1)).weight.dtype
    torch.float64
    """
    return copy.deepcopy(model).double()


def zero_gradients(
    model: nn.Module, images: Float[Tensor, "n ..."], labels: Int64[Tensor, " n"], loss: str
) -> Bool[Tensor, " n"]:
    """Return where the gradient of a loss of `LOSSES` is exactly 0 in every pixel, on the CPU.

    It is taken in the type of the images, which should be the model's.

    >>> x, y = torch.tensor([[200.0, 0.0], [20.0, 0.0]]), torch.zeros(2).long()
    >>> zero_gradients(nn.Flatten(), x, y, "softmax-cross-entropy")
    tensor([ True, False])
    >>> zero_gradients(nn.Flatten(), x.double(), y, "softmax-cross-entropy")
    tensor([False, False])
    >>> zero_gradients(nn.Flatten(), x, y, "cross-entropy")  # through the log-odds
    tensor([False, False])
    """
    found = []
    for x, y in zip(torch.split(images, ROWS), torch.split(labels, ROWS), strict=True):
        with Guard(model, len(x)) as guard:
            goals = y.to(guard.device)

            def value(logits: Tensor, goals: Tensor = goals) -> Tensor:
                return LOSSES[loss](Misclassified(), logits, goals)

            _, gradient = guard.gradient(x.to(guard.device), value)
        found.append((gradient == 0).flatten(1).all(1).cpu())
    return torch.cat(found)


@dataclass(frozen=True)
class Saturation:
    """What a network's outputs at temperature 1 are like.

    Attributes:
        images: so many of the images, the ones that are classified rightly.
        accuracy: on all.
        mean_logit: the mean |Z| over all images and classes.
        margin: the median of the largest logit minus the second, over all images.
        one_hot: the share of the right images with `one_hot` in float32.
        zero32, zero64: the share of the right images whose gradient of the softmax cross-entropy is
            exactly 0 in every pixel, in float32 and in float64.
        zero_odds: the same of the log-odds in float32.

    >>> Saturation(1, 1.0, 9.0, 12.0, 0.0, 0.0, 0.0, 0.0).margin
    12.0
    """

    images: int
    accuracy: float
    mean_logit: float
    margin: float
    one_hot: float
    zero32: float
    zero64: float
    zero_odds: float


def saturation(
    model: nn.Module, images: Float[Tensor, "n ..."], labels: Int64[Tensor, " n"]
) -> Saturation:
    """Measure the outputs of a model in float32, and its gradients in float32 and float64.

    >>> x, y = torch.tensor([[0.9, 0.1], [0.1, 0.9]]), torch.tensor([0, 0])
    >>> net = nn.Linear(2, 2, bias=False)
    >>> net.weight.data = 200 * torch.eye(2)
    >>> found = saturation(net, x, y)
    >>> found.accuracy, found.one_hot, found.zero32, found.zero64, found.zero_odds
    (0.5, 1.0, 1.0, 0.0, 0.0)
    """
    logits = logits_of(model, images)
    top = logits.topk(2, dim=1)
    right = top.indices[:, 0] == labels.cpu()
    rows = right.to(images.device)
    x, y = images[rows], labels[rows]

    def share(flags: Tensor) -> float:
        return float(flags.double().mean())

    def zero(net: nn.Module, dtype: torch.dtype, loss: str) -> float:
        return share(zero_gradients(net, x.to(dtype), y, loss)) if len(x) else float("nan")

    return Saturation(
        images=int(right.sum()),
        accuracy=share(right),
        mean_logit=float(logits.abs().mean()),
        margin=float((top.values[:, 0] - top.values[:, 1]).median()),
        one_hot=share(one_hot(logits[right])),
        zero32=zero(model, x.dtype, "softmax-cross-entropy"),
        zero64=zero(in_double(model), torch.float64, "softmax-cross-entropy"),
        zero_odds=zero(model, x.dtype, "cross-entropy"),
    )


def exponent(x: Sequence[float], y: Sequence[float]) -> float:
    """Return the a of the least-squares fit y ~ xᵃ on logarithmic axes; NaN for fewer than two x.

    >>> round(exponent([1, 10, 100], [3, 30, 300]), 6)
    1.0
    """
    if len(set(x)) < 2:
        return float("nan")
    line: Any = np.polyfit(np.log(x), np.log(y), 1)
    return float(line[0])
