"""BERT's masking: some tokens are hidden, and the model is to say what they were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from jaxtyping import Int64
from torch import Tensor

from saddlepoint.errors import InputError
from saddlepoint.option_values import Fraction, Interval, check_fields
from saddlepoint.streams import Keys, Stream
from saddlepoint.text.tokens import IGNORED, MASK, SPECIAL, Tokens

_Share = Interval("[0, 1]")


@dataclass(frozen=True, eq=False)
class Masked:
    """Tokens of which some are hidden, and what these were.

    >>> from saddlepoint.text.tokens import padded
    >>> tokens = padded([[2, 7, 3]])
    >>> Masked(tokens, torch.full_like(tokens.ids, IGNORED)).labels.tolist()
    [[-100, -100, -100]]
    """

    tokens: Tokens
    labels: Int64[Tensor, "n t"]
    """`IGNORED` where nothing was chosen."""


@dataclass(frozen=True)
class Masking:
    """A share of the tokens is chosen, each for itself; of these some become [MASK], some a random
    word, and the rest stay.

    Devlin et al., BERT, 2019, arXiv:1810.04805, section 3.1. Special tokens are never chosen. A random
    word may be the old one. Draws are functions of (seed, id, epoch, position).

    Args:
        share: of the tokens that are chosen.
        masked: of these.
        random: of these.

    >>> from saddlepoint.text.tokens import padded
    >>> tokens, ids = padded([[2, 7, 8, 9, 3]]), torch.tensor([0])
    >>> every = Masking(share=0.99, masked=1.0, random=0.0)
    >>> every.apply(tokens, 0, ids, epoch=1, vocabulary=20).tokens.ids.tolist()
    [[2, 4, 4, 4, 3]]
    """

    share: Fraction = 0.15
    masked: float = 0.8
    random: float = 0.1

    def __post_init__(self) -> None:
        check_fields(self)
        _Share.check("masked", self.masked)
        _Share.check("random", self.random)
        if self.masked + self.random > 1 + 1e-9:
            raise InputError(
                f"masked {self.masked} and random {self.random} are more than all; what is left of"
                " 1 is kept"
            )

    def apply(
        self, tokens: Tokens, seed: int, ids: Int64[Tensor, " n"], epoch: int, vocabulary: int
    ) -> Masked:
        """Return the sequences with hidden tokens.

        Args:
            tokens: of n sequences.
            seed: of all draws.
            ids: the identities of the sequences, usually their indices.
            epoch: other tokens are chosen in each.
            vocabulary: tokens that there are, special ones among them.
        """
        keys = Keys(seed, ids, Stream.MASKING)
        shape = (tokens.ids.shape[1],)
        choice, kind, word = (keys.uniform(shape, step=epoch, draw=i) for i in range(3))
        first = len(SPECIAL)
        chosen = (choice < self.share) & tokens.keep & (tokens.ids >= first)
        words = first + (word.double() * (vocabulary - first)).long()
        new = torch.where(kind < self.masked + self.random, words, tokens.ids)
        new = torch.where(kind < self.masked, torch.full_like(new, MASK), new)
        hidden = torch.where(chosen, new, tokens.ids)
        return Masked(
            Tokens(hidden, tokens.keep, tokens.segments),
            torch.where(chosen, tokens.ids, torch.full_like(tokens.ids, IGNORED)),
        )


MASKINGS: Mapping[str, Masking] = MappingProxyType(
    {
        "published": Masking(),
        "all-masked": Masking(masked=1.0, random=0.0),
        "all-random": Masking(masked=0.0, random=1.0),
    }
)
"""The published mix of 80, 10 and 10 %, and two to compare with."""
