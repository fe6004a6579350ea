"""What an image counts as for which the model returns NaN or +∞: it has no class.

A model that gives no class for a changed image has failed on it. Whatever asks the criterion, loops
and judge alike, therefore reads a stand-in where there is no answer: logits in which the classes
that hold the image come last. That fools where any other class will do, and reaches no target.
"""

from __future__ import annotations

import warnings

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from saddlepoint.answers import silence, unanswered
from saddlepoint.attacks.core.criteria import Aimed, Criterion


def stand_ins(
    criterion: Criterion, logits: Float[Tensor, "n k"], goals: Int64[Tensor, " n"]
) -> Float[Tensor, "n k"]:
    """Return `logits` with the classes that hold the image put last, by the spread of the logits;
    of one logit, the other sign.

    The classes that hold are the label, or the target that is not reached, and what else a
    criterion names; see `Aimed`. Where the logits are no answer themselves, all others are 0.

    >>> from saddlepoint.attacks import Misclassified, Targeted
    >>> logits, goals = torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([0])
    >>> stand_ins(Misclassified(), logits, goals)
    tensor([[-1.,  1.,  2.]])
    >>> Targeted().margin(stand_ins(Targeted(), logits / 0 * 0, goals), goals)
    tensor([1.])
    """
    z = torch.where(unanswered(logits)[:, None], 0.0, logits)
    if z.shape[1] == 1:
        return (1 - 2 * goals[:, None]) * z.abs().clamp_min(1.0)
    finite = z.isfinite()
    high, low = (torch.where(finite, z, end) for end in (-torch.inf, torch.inf))
    least = low.amin(1, keepdim=True)
    spread = high.amax(1, keepdim=True) - least
    last = least - torch.where(spread > 0, spread, 1.0)
    if isinstance(criterion, Aimed):
        return torch.where(criterion.aims(goals, z.shape[1]), z, last)
    return z.scatter(1, goals[:, None], last)


def answered_margin(
    criterion: Criterion, logits: Float[Tensor, "n k"], goals: Int64[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """Return the criterion's margin, that of a stand-in where the logits are no answer.

    >>> from saddlepoint.attacks import Misclassified
    >>> logits = torch.tensor([[3.0, 1.0], [3.0, torch.nan]])
    >>> answered_margin(Misclassified(), logits, torch.tensor([0, 0]))
    tensor([ 2., -1.])
    """
    silent = unanswered(logits)[:, None]
    return criterion.margin(torch.where(silent, stand_ins(criterion, logits, goals), logits), goals)


def wrong_before(
    criterion: Criterion, clean: Float[Tensor, "n k"], goals: Int64[Tensor, " n"]
) -> Bool[Tensor, " n"]:
    """Return which images are left alone: the criterion holds for them already, or the model
    returns no answer for them.

    >>> from saddlepoint.attacks import Targeted
    >>> clean = torch.tensor([[3.0, 1.0], [1.0, 3.0], [3.0, torch.nan]])
    >>> wrong_before(Targeted(), clean, torch.tensor([1, 1, 1]))
    tensor([False,  True,  True])
    """
    return unanswered(clean) | (answered_margin(criterion, clean, goals) < 0)


def warn_of_silence(silent: Bool[Tensor, " n"]) -> None:
    """Warn of clean images without an answer.

    >>> warn_of_silence(torch.tensor([False]))
    """
    if bool(silent.any()):
        told = silence(int(silent.sum()), len(silent))
        warnings.warn(f"{told}, and were not attacked", stacklevel=3)
