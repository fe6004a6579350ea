"""What a token of an encoder sees, and which token then stands for the sequence."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saddlepoint.zoo import causal_bias, padding_bias


class BothSides:
    """A token sees all tokens, and the first, [CLS], stands for the sequence.

    >>> BothSides().bias(torch.ones(1, 2, dtype=torch.bool), torch.float32).shape
    torch.Size([1, 1, 1, 2])
    """

    def bias(self, keep: Bool[Tensor, "n t"], dtype: torch.dtype) -> Float[Tensor, "n 1 _ t"]:
        """Return what is added to the logits of the attention."""
        return padding_bias(keep, dtype)

    def summary(
        self, hidden: Float[Tensor, "n t d"], keep: Bool[Tensor, "n t"] | None
    ) -> Float[Tensor, "n d"]:
        """Return the token that stands for the sequence."""
        return hidden[:, 0]


class LeftToRight(BothSides):
    """A token sees itself and those before it, and the last stands for the sequence, as in GPT.

    >>> keep = torch.tensor([[True, True, False]])
    >>> LeftToRight().summary(torch.arange(3.0)[None, :, None], keep).item()
    1.0
    """

    def bias(self, keep: Bool[Tensor, "n t"], dtype: torch.dtype) -> Float[Tensor, "n 1 _ t"]:
        """Return what is added to the logits of the attention."""
        later = causal_bias(keep.shape[1], device=keep.device, dtype=dtype)
        return later + padding_bias(keep, dtype)

    def summary(
        self, hidden: Float[Tensor, "n t d"], keep: Bool[Tensor, "n t"] | None
    ) -> Float[Tensor, "n d"]:
        """Return the token that stands for the sequence."""
        if keep is None:
            return hidden[:, -1]
        places = torch.arange(keep.shape[1], device=keep.device)
        last = torch.where(keep, places, -1).amax(1)
        return hidden[torch.arange(len(hidden), device=hidden.device), last]


DIRECTIONS: Mapping[str, BothSides] = {"both": BothSides(), "left-to-right": LeftToRight()}
"""The kinds by name."""
