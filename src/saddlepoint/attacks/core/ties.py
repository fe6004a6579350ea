"""What is told of equal largest logits, where the class hangs on a rule."""

from __future__ import annotations

import warnings

from jaxtyping import Bool
from torch import Tensor

# Below this share ties are left to chance, and nothing is said.
_SHARE = 0.005


def tie_note(tied: Bool[Tensor, " n"]) -> str | None:
    """Return a sentence about the images whose largest logit several classes share; None for 0.5 %
    of the images or fewer.

    >>> import torch
    >>> tie_note(torch.tensor([True, False]))[:51]
    'several classes share the largest logit for 1 of 2 '
    >>> tie_note(torch.tensor([False]))
    """
    count = int(tied.sum())
    if count <= _SHARE * len(tied):
        return None
    return (
        f"several classes share the largest logit for {count} of {len(tied)} images: of a tie the"
        " lowest class is the prediction, as in torch's argmax; look for rounding, saturation or a"
        " dead last layer in the model"
    )


def warn_of_ties(tied: Bool[Tensor, " n"]) -> None:
    """Warn where more than 0.5 % of the images have several classes with the largest logit.

    >>> import torch
    >>> warn_of_ties(torch.tensor([False, False]))
    """
    note = tie_note(tied)
    if note is not None:
        warnings.warn(note, stacklevel=3)
