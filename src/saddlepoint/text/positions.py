"""Where a token is in a sentence: codes that are added to its embedding; each kind is a class.

Vaswani et al., Attention Is All You Need, 2017, arXiv:1706.03762, sections 3.5 and 6.2 (table 3, row
E).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.errors import InputError


class NoTextPositions(nn.Module):
    """No codes: an encoder is then equivariant to permutations of its tokens.

    Args:
        most: positions that there are, if the kind has so many and no more.
        d: features of a token.

    >>> NoTextPositions(4, 8)(torch.ones(1, 3, 8)).sum().item()
    24.0
    """

    def __init__(self, most: int, d: int) -> None:
        super().__init__()
        self.most, self.d = most, d

    @property
    def longest(self) -> int | None:
        """The most tokens that a sequence may have; None is any number."""
        return None

    def forward(self, x: Float[Tensor, "n t d"], past: int = 0) -> Float[Tensor, "n t d"]:
        """Return the tokens with their codes; `past` tokens stood before them.

        Raises `InputError` where the kind has a table and a sequence is longer.
        """
        return x


class SinusoidalPositions(NoTextPositions):
    """PE(pos, 2i) = sin(pos/10000^{2i/d}), PE(pos, 2i + 1) = cos(pos/10000^{2i/d}), for any length.

    >>> SinusoidalPositions(4, 2)(torch.zeros(1, 2, 2), past=1).shape
    torch.Size([1, 2, 2])
    """

    table: Tensor

    def __init__(self, most: int, d: int) -> None:
        super().__init__(most, d)
        self.register_buffer("table", sinusoids(torch.arange(most), d).float(), persistent=False)

    def forward(self, x: Float[Tensor, "n t d"], past: int = 0) -> Float[Tensor, "n t d"]:
        """Return the tokens with their codes."""
        end = past + x.shape[1]
        if end > len(self.table):  # beyond what is kept
            places = torch.arange(past, end, device=x.device)
            return x + sinusoids(places, self.d).to(x.dtype)
        return x + self.table[past:end]


class LearnedTextPositions(NoTextPositions):
    """A learned vector for each of `most` positions.

    >>> LearnedTextPositions(2, 8)(torch.zeros(1, 3, 8))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: a sequence of 3 tokens is longer than the 2 positions; cut it, ...
    """

    def __init__(self, most: int, d: int) -> None:
        super().__init__(most, d)
        self.table = nn.Parameter(nn.init.trunc_normal_(torch.empty(most, d), std=0.02))

    @property
    def longest(self) -> int | None:
        """The most tokens that a sequence may have."""
        return self.most

    def forward(self, x: Float[Tensor, "n t d"], past: int = 0) -> Float[Tensor, "n t d"]:
        """Return the tokens with their codes."""
        end = past + x.shape[1]
        if end > self.most:
            raise InputError(
                f"a sequence of {end} tokens is longer than the {self.most} positions; cut it, or"
                " give the model more"
            )
        return x + self.table[past:end]


TEXT_POSITIONS: Mapping[str, type[NoTextPositions]] = {
    "none": NoTextPositions,
    "sinusoidal": SinusoidalPositions,
    "learned": LearnedTextPositions,
}
"""The kinds by name."""


def sinusoids(positions: Tensor, d: int) -> Float[Tensor, "t d"]:
    """Return the codes of positions in float64.

    Those of pos + k are those of pos, each pair (sin, cos) turned by the angle k/10000^{2i/d}.

    >>> sinusoids(torch.tensor([0]), 4).tolist()
    [[0.0, 1.0, 0.0, 1.0]]
    """
    i = torch.arange(0, d, 2, device=positions.device, dtype=torch.float64)
    angle = positions.double()[:, None] * torch.exp(-math.log(10000.0) / d * i)
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)[:, :d]
