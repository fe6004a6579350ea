"""The losses that attacks ascend, as functions of the logits: cross-entropy, margin, and the
scale-free DLR with its targeted form.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.criteria import Loss, Targeted

Ratio = Literal["dlr", "dlr-targeted"]
RATIOS: tuple[Ratio, ...] = ("dlr", "dlr-targeted")

# Against a division by zero where the three largest logits are equal.
_TINY = 1e-12


def dlr(
    logits: Float[Tensor, "n k"], margin: Float[Tensor, " n"], third: int = 3, mean: int = 1
) -> Float[Tensor, " n"]:
    """Return the difference of logits ratio, −margin/(Z_π1 − Z_π3); π sorts from the largest logit.

    The ratio does not change when the logits are scaled or shifted, so that a model cannot hide its
    gradient behind large logits.

    Args:
        margin: the criterion's, such as Z_y − max_{j≠y} Z_j; or Z_y − Z_t, towards a target t.
        third: the rank in place of 3.
        mean: how many logits from that rank on are averaged; 2 in the targeted form, whose
            denominator is Z_π1 − (Z_π3 + Z_π4)/2.

    Reference: Croce and Hein 2020, arXiv:2003.01690.

    >>> logits = torch.tensor([[5.0, 3.0, 1.0, 0.0]])
    >>> dlr(logits, torch.tensor([2.0])), dlr(10 * logits, torch.tensor([20.0]))
    (tensor([-0.5000]), tensor([-0.5000]))
    """
    top = logits.topk(third + mean - 1, dim=1).values
    return -margin / (top[:, 0] - top[:, third - 1 :].mean(1) + _TINY)


def objective(
    batch: Batch, loss: Loss | Ratio, targets: Int64[Tensor, " m"] | None = None
) -> Callable[[Tensor], Tensor]:
    """Return the named loss as a function of the logits (m, k): a number per sample, to ascend.

    Under `Targeted` "dlr" and "dlr-targeted" are both the targeted DLR towards the batch's goals.
    Where too few classes are alive both are the margin.

    Args:
        batch: the samples; their criterion says what is fooled.
        loss: a name of `LOSSES` or `RATIOS`.
        targets: (m,) the other class that "dlr-targeted" raises; None is the criterion's own.
    """
    if loss not in RATIOS:
        return batch.loss(loss)
    third, mean = ranks(batch, loss)

    def value(logits: Tensor) -> Tensor:
        margin = batch.margin(logits)
        if targets is not None:
            margin = -towards(batch, logits, targets)
        needed = third + mean - 1
        if logits.shape[1] < needed:
            return -margin
        # Masked classes are below all others: those that the ratio reads are live if enough are.
        enough = batch.live(logits).sum(1) >= needed
        finite = torch.where(enough[:, None], logits, 0.0)
        return torch.where(enough, dlr(finite, margin, third, mean), -margin)

    return value


def towards(
    batch: Batch, logits: Float[Tensor, "m k"], targets: Int64[Tensor, " m"]
) -> Float[Tensor, " m"]:
    """Return Z_t − Z_y, or in place of the label the highest class that holds; see `Batch.holder`.

    >>> from saddlepoint.attacks import AcceptedAsOther
    >>> from saddlepoint.model import Guard
    >>> from saddlepoint.streams import Keys
    >>> from saddlepoint.threat import L2
    >>> z, rows = torch.tensor([[1.0, 2.0, 5.0]]), torch.arange(1)
    >>> guard, keys = Guard(torch.nn.Flatten(), 1), Keys(0, rows)
    >>> batch = Batch(guard, L2(), AcceptedAsOther(reject=2), z, rows, keys, rows)
    >>> towards(batch, z, torch.tensor([1]))
    tensor([-3.])
    """
    pair = torch.stack([targets, batch.holder(logits)], dim=1)
    other, own = logits.gather(1, pair).unbind(1)
    return other - own


def ranks(batch: Batch, loss: str) -> tuple[int, int]:
    """Return the arguments `third` and `mean` of `dlr`: how many logits it needs is their sum less
    one.

    >>> from saddlepoint.attacks import AcceptedAsOther
    >>> from saddlepoint.model import Guard
    >>> from saddlepoint.streams import Keys
    >>> from saddlepoint.threat import L2
    >>> x, rows = torch.zeros(1, 2), torch.arange(1)
    >>> guard, keys = Guard(torch.nn.Flatten(), 1), Keys(0, rows)
    >>> ranks(Batch(guard, L2(), AcceptedAsOther(2), x, rows, keys, rows), "dlr")
    (4, 1)
    """
    criterion = batch.criterion
    if isinstance(criterion, Targeted):
        return 3, 2
    if batch.aimed is not None:  # a rejection and the label may both be above the rival
        return batch.aimed.holders + 2, 2 if loss == "dlr-targeted" else 1
    # The margin may reach down to rank k + 1: with Z_π3 the ratio would be −1 whatever the image.
    return getattr(criterion, "k", 1) + 2, 1


def others(batch: Batch, logits: Float[Tensor, "m k"], count: int) -> Iterator[Int64[Tensor, " m"]]:
    """Yield the live classes of largest logit that may be aimed at, the largest first.

    At most `count` of them; −1 for a sample that has no such class any more.
    """
    rest = torch.where(batch.live(logits), logits, -torch.inf)
    rest = rest.masked_fill(~batch.aims(logits), -torch.inf)
    holders = 1 if batch.aimed is None else batch.aimed.holders
    top = rest.topk(min(count, logits.shape[1] - holders), dim=1)
    yield from torch.where(top.values > -torch.inf, top.indices, -1).unbind(1)


def warn_of_few_classes(batch: Batch, loss: Loss | Ratio, logits: Float[Tensor, "m k"]) -> None:
    """Warn where the DLR is not defined and the margin takes its place."""
    if loss not in RATIOS:
        return
    third, mean = ranks(batch, loss)
    needed, live = third + mean - 1, batch.live(logits).sum(1)
    few = live < needed
    if bool(few.any()):
        kind = "targeted DLR" if mean == 2 else "DLR"
        warnings.warn(
            f"the {kind} needs {needed} classes and the model has {int(live[few].max())}"
            f"{'' if bool(few.all()) else f' alive for {int(few.sum())} of {len(few)} images'}:"
            ' the loss is the margin, as loss="margin" says',
            UserWarning,
            stacklevel=4,
        )
