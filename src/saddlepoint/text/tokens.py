"""Sequences of numbers of tokens, padded to one length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from saddlepoint.errors import InputError

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[BOS]", "[EOS]")
"""The tokens that are no text, in the order of their numbers from 0."""
PAD, UNK, CLS, SEP, MASK, BOS, EOS = range(len(SPECIAL))
IGNORED = -100
"""The label of a position that no loss looks at."""
Rows = Sequence[Sequence[int]]


@dataclass(frozen=True, eq=False)
class Tokens:
    """A batch of sequences of tokens, at their right padded with `PAD`.

    Attributes:
        ids: the numbers of the tokens.
        keep: True for tokens, False for padding.
        segments: 0 or 1, the sentence of a pair that a token is of; None is 0 throughout.

    Raises `InputError` where the shapes differ.

    >>> batch = padded([[5, 9, 6], [5, 6]])
    >>> batch.ids.tolist(), batch.keep.sum(1).tolist(), len(batch.at(torch.tensor([1])))
    ([[5, 9, 6], [5, 6, 0]], [3, 2], 1)
    """

    ids: Int64[Tensor, "n t"]
    keep: Bool[Tensor, "n t"]
    segments: Int64[Tensor, "n t"] | None = None

    def __post_init__(self) -> None:
        for name, other in (("keep", self.keep), ("segments", self.segments)):
            if self.ids.ndim != 2 or (other is not None and other.shape != self.ids.shape):
                seen = "absent" if other is None else tuple(other.shape)
                raise InputError(
                    f"ids are {tuple(self.ids.shape)} and {name} {seen}; give both as (n, t)"
                )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> Int64[Tensor, " n"]:
        """The tokens of each sequence, without padding."""
        return self.keep.sum(1)

    def at(self, index: Tensor | slice) -> Tokens:
        """Return the sequences that `index` selects."""
        segments = None if self.segments is None else self.segments[index]
        return Tokens(self.ids[index], self.keep[index], segments)

    def trimmed(self) -> Tokens:
        """Return the same without the columns that are padding of all sequences."""
        longest = int(self.lengths.max()) if len(self) else 0
        segments = None if self.segments is None else self.segments[:, :longest]
        return Tokens(self.ids[:, :longest], self.keep[:, :longest], segments)

    def to(self, device: torch.device | str) -> Tokens:
        """Return the same on another device."""
        segments = None if self.segments is None else self.segments.to(device)
        return Tokens(self.ids.to(device), self.keep.to(device), segments)


def padded(rows: Rows, segments: Rows | None = None) -> Tokens:
    """Return sequences as one batch, as long as the longest.

    Raises `InputError` where there is no sequence, or one has no tokens.

    >>> padded([[7, 8], []])
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: sequence 1 has no tokens; leave empty sentences out
    """
    if not rows:
        raise InputError("there is no sequence to pad; give at least one")
    for i, row in enumerate(rows):
        if not len(row):
            raise InputError(f"sequence {i} has no tokens; leave empty sentences out")
    ids = torch.nn.utils.rnn.pad_sequence(
        [torch.as_tensor(row, dtype=torch.int64) for row in rows],
        batch_first=True,
        padding_value=PAD,
    )
    lengths = torch.tensor([len(row) for row in rows])
    keep = torch.arange(ids.shape[1]) < lengths[:, None]
    return Tokens(ids, keep, None if segments is None else padded(segments).ids)
