"""What a decoder keeps of the tokens that it has seen."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from saddlepoint.zoo import Cache


@dataclass(frozen=True, eq=False)
class BlockCache:
    """Keys and values of one block: of the tokens among themselves, and of the encoder's.

    >>> len(BlockCache().own)
    0
    """

    own: Cache = field(default_factory=Cache)
    cross: Cache = field(default_factory=Cache)


class DecoderCache:
    """Keys and values of all blocks of a decoder, and which of the tokens so far are no padding.

    >>> len(DecoderCache(6)), len(DecoderCache(6).blocks)
    (0, 6)
    """

    def __init__(self, depth: int) -> None:
        self.blocks = tuple(BlockCache() for _ in range(depth))
        self._keep: Tensor | None = None

    def __len__(self) -> int:
        return 0 if self._keep is None else self._keep.shape[1]

    def extended(self, keep: Bool[Tensor, "n t"]) -> Bool[Tensor, "n s"]:
        """Append new tokens; return which of all are no padding."""
        self._keep = keep if self._keep is None else torch.cat([self._keep, keep], 1)
        return self._keep

    def follow(self, rows: Int64[Tensor, " n"]) -> None:
        """Let each sequence go on from the one that `rows` names, of the same encoder's tokens."""
        if self._keep is not None:
            self._keep = self._keep[rows]
        for block in self.blocks:
            block.own.follow(rows)
