"""Texts as a data set: sentences or pairs of them, with classes or without."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Int64
from torch import Tensor

from saddlepoint.errors import InputError
from saddlepoint.text.tokens import IGNORED

Row = tuple[str, ...]
_LONE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, eq=False)
class TextData:
    """Texts, or pairs of texts, and perhaps a class for each, or for each word; a batch is (rows,
    labels).

    Attributes:
        name: of the set, or of its file.
        split: "train", "validation", "test" or "all".
        rows: a text each, or the two of a pair: a sentence and another, or its translation.
        labels: the class of each; None where there are no classes.
        classes: their names.
        tags: the class of every word of a text, in place of one label; words are what spaces divide.

    Raises `InputError` where there are no rows, a text is empty, a label is no class, or a text has
    not as many tags as words.

    >>> data = TextData("two", "all", (("good",), ("bad",)), torch.tensor([1, 0]), ("no", "yes"))
    >>> data.batch(torch.tensor([1]))
    ([('bad',)], tensor([0]))
    >>> TextData("three", "all", (("good",), (" ",)))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: three, row 1: the text is empty; leave empty sentences out
    """

    name: str
    split: str
    rows: tuple[Row, ...]
    labels: Int64[Tensor, " n"] | None = None
    classes: tuple[str, ...] = ()
    tags: tuple[tuple[int, ...], ...] | None = None

    def __post_init__(self) -> None:
        if not self.rows:
            raise InputError(f"{self.name} has no texts; give at least one")
        check_rows(self.rows, [f"{self.name}, row {i}" for i in range(len(self.rows))])
        if self.tags is not None:
            self._check_tags(self.tags)
        if self.labels is None:
            return
        if len(self.labels) != len(self.rows):
            raise InputError(
                f"{self.name} has {len(self.rows)} texts and {len(self.labels)} labels"
            )
        self._check_classes(int(self.labels.min()), int(self.labels.max()))

    def _check_tags(self, tags: tuple[tuple[int, ...], ...]) -> None:
        if self.labels is not None or self.of_pairs or len(tags) != len(self.rows):
            raise InputError(
                f"{self.name}: tags are of the words of single texts, without labels; give one row of"
                " them for each text"
            )
        for i, ((text,), row) in enumerate(zip(self.rows, tags, strict=True)):
            if len(text.split()) != len(row):
                raise InputError(
                    f"{self.name}, row {i}: has {len(text.split())} words and {len(row)} tags; give"
                    " one for each word"
                )
        self._check_classes(min(map(min, tags)), max(map(max, tags)))

    def _check_classes(self, low: int, high: int) -> None:
        if low < 0 or high >= len(self.classes):
            raise InputError(
                f"{self.name}: labels span {low} … {high}, and there are {len(self.classes)} classes:"
                f" use 0 … {len(self.classes) - 1}"
            )

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def of_pairs(self) -> bool:
        """Whether a row is two texts."""
        return len(self.rows[0]) == 2

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that identify the texts and their labels."""
        digest = hashlib.blake2b(digest_size=8)
        for row in self.rows:
            digest.update("\0".join(row).encode() + b"\1")
        digest.update("\0".join(self.classes).encode())
        if self.labels is not None:
            digest.update(self.labels.cpu().numpy().tobytes())
        if self.tags is not None:
            digest.update(repr(self.tags).encode())
        return digest.hexdigest()

    def texts(self, indices: Int64[Tensor, " b"]) -> list[Row]:
        """Return the rows at `indices`."""
        return [self.rows[i] for i in indices.tolist()]

    def batch(self, indices: Int64[Tensor, " b"]) -> tuple[list[Row], Int64[Tensor, " b"]]:
        """Return the rows at `indices`, and their labels, `IGNORED` where there are none."""
        if self.labels is None:
            return self.texts(indices), torch.full_like(indices, IGNORED)
        return self.texts(indices), self.labels[indices]

    def at(self, indices: Int64[Tensor, " b"]) -> TextData:
        """Return the same of some rows alone."""
        labels = None if self.labels is None else self.labels[indices]
        tags = None if self.tags is None else tuple(self.tags[i] for i in indices.tolist())
        return replace(self, rows=tuple(self.texts(indices)), labels=labels, tags=tags)

    def first(self, count: int) -> TextData:
        """Return the first rows, at most all."""
        return self.at(torch.arange(min(count, len(self))))


def check_rows(rows: Sequence[Row], places: Sequence[str]) -> None:
    """Raise `InputError`, with its place, for a row that has an empty text, or is not one text or two
    as the others are.

    >>> check_rows([("a",), ("a", "b")], ["row 0", "row 1"])
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: row 1: has 2 texts, the first 1; give one, or pairs throughout
    """
    width = len(rows[0]) if rows else 1
    for row, place in zip(rows, places, strict=True):
        if len(row) != width or width not in (1, 2):
            raise InputError(
                f"{place}: has {len(row)} texts, the first {width}; give one, or pairs throughout"
            )
        if not all(text.strip() for text in row):
            raise InputError(f"{place}: the text is empty; leave empty sentences out")
        if any(map(_LONE.search, row)):
            raise InputError(
                f"{place}: holds half of a character (a lone surrogate), which is no text"
            )
