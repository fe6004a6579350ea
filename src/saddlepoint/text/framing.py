"""From texts to the sequences that networks are given: special tokens, pairs, and what is cut off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from saddlepoint.errors import InputError
from saddlepoint.text.tokenisers import Tokeniser
from saddlepoint.text.tokens import BOS, CLS, EOS, IGNORED, SEP, Tokens, padded


@dataclass(frozen=True, eq=False)
class Framed:
    """A batch of sequences, and how many of them were cut.

    >>> Framed(padded([[2, 7, 3]]), 0).cut
    0
    """

    tokens: Tokens
    cut: int


@dataclass(frozen=True)
class Framing:
    """How texts become sequences.

    Args:
        tokeniser: of the texts.
        most: tokens of a sequence, special ones among them; None is any number.
        truncate: whether longer ones are cut, from the end of the longer text of a pair; else they are
            an error.

    >>> from saddlepoint.text.tokenisers import WordTokeniser
    >>> framing = Framing(WordTokeniser(["a", "b"]), most=5, truncate=True)
    >>> framed = framing.pairs(["a a a"], ["b"])
    >>> framed.tokens.ids.tolist(), framed.tokens.segments.tolist(), framed.cut
    ([[2, 7, 3, 8, 3]], [[0, 0, 0, 1, 1]], 1)
    """

    tokeniser: Tokeniser
    most: int | None = None
    truncate: bool = False

    def singles(self, texts: Sequence[str]) -> Framed:
        """Return [CLS] A [SEP]."""
        rows, cut = self._rows([texts], 2)
        return Framed(padded([[CLS, *a, SEP] for (a,) in rows]), cut)

    def words(self, texts: Sequence[str]) -> tuple[Framed, list[list[int]]]:
        """Return [CLS] A [SEP] of texts whose words, divided by spaces, become tokens each for itself;
        and where the first token of each word stands. Words that are cut off stand nowhere.
        """
        rows, places, cut = [], [], 0
        for i, text in enumerate(texts):
            parts = [self.tokeniser.encode(word) for word in text.split()]
            empty = next((w for w, ids in zip(text.split(), parts, strict=True) if not ids), None)
            if empty is not None:
                raise InputError(
                    f"text {i + 1} has a word without tokens ({empty[:20]!r}); leave it out"
                )
            row = [token for ids in parts for token in ids]
            cut += self._fitted(f"text {i + 1} ({text[:20]!r})", [row], 2)
            starts = [1 + sum(map(len, parts[:j])) for j in range(len(parts))]
            rows.append([CLS, *row, SEP])
            places.append([start for start in starts if start <= len(row)])
        return Framed(padded(rows), cut), places

    def pairs(self, first: Sequence[str], second: Sequence[str]) -> Framed:
        """Return [CLS] A [SEP] B [SEP]; the second [SEP] is of the segment 1, as B is.

        Raises `InputError` where there are not as many second texts as first.
        """
        if len(first) != len(second):
            raise InputError(f"there are {len(first)} first texts and {len(second)} second ones")
        rows, cut = self._rows([first, second], 3)
        ids = [[CLS, *a, SEP, *b, SEP] for a, b in rows]
        segments = [[0] * (len(a) + 2) + [1] * (len(b) + 1) for a, b in rows]
        return Framed(padded(ids, segments), cut)

    def sources(self, texts: Sequence[str]) -> Framed:
        """Return A [EOS], what an encoder of translations reads."""
        rows, cut = self._rows([texts], 1)
        return Framed(padded([[*a, EOS] for (a,) in rows]), cut)

    def targets(self, texts: Sequence[str]) -> Framed:
        """Return [BOS] A, what its decoder is given; see `next_tokens`."""
        rows, cut = self._rows([texts], 1)
        return Framed(padded([[BOS, *a] for (a,) in rows]), cut)

    def _rows(
        self, sides: Sequence[Sequence[str]], extra: int
    ) -> tuple[list[list[list[int]]], int]:
        """Return the tokens of the text or the two of each row, short enough for `extra` more."""
        rows, cut = [], 0
        for i, texts in enumerate(zip(*sides, strict=True)):
            row = [self.tokeniser.encode(text) for text in texts]
            for text, ids in zip(texts, row, strict=True):
                if not ids:
                    raise InputError(
                        f"text {i + 1} has no tokens ({text[:20]!r}); leave empty sentences out"
                    )
            cut += self._fitted(f"text {i + 1} ({texts[0][:20]!r})", row, extra)
            rows.append(row)
        return rows, cut

    def _fitted(self, which: str, row: list[list[int]], extra: int) -> bool:
        """Shorten a row in place where it has to be and may be; say whether it was."""
        length = sum(map(len, row)) + extra
        if self.most is None or length <= self.most:
            return False
        if not self.truncate:
            raise InputError(
                f"{which} has {length} tokens with special ones, and at most {self.most} are read; leave"
                " it out, or ask for truncation (--truncate)"
            )
        _shorten(row, self.most - extra)
        return True


def next_tokens(target: Tokens) -> Int64[Tensor, "n t"]:
    """Return what comes after each token of [BOS] A: the next one, [EOS] after the last, `IGNORED` of
    padding.

    >>> next_tokens(padded([[5, 7, 8], [5, 9]])).tolist()
    [[7, 8, 6], [9, 6, -100]]
    """
    labels = target.ids.roll(-1, 1)
    last = target.lengths[:, None] - 1
    labels = labels.scatter(1, last, torch.full_like(last, EOS))
    return labels.masked_fill(~target.keep, IGNORED)


def _shorten(row: list[list[int]], most: int) -> None:
    """Take tokens from the end of the longer text until `most` are left, one of each at least."""
    if most < len(row):
        raise InputError(f"there is no room for {len(row)} texts among the positions; give more")
    while sum(map(len, row)) > most:
        max(row, key=len).pop()
