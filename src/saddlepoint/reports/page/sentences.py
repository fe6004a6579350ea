"""Sentences on a page, each word shaded by how far it was moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from saddlepoint.reports.page.parts import Filter, filters_of


@dataclass(frozen=True)
class Word:
    """A word of a sentence.

    Attributes:
        text: the word.
        share: how far it was moved, of the farthest of all; from 0 to 1.
        told: the same in numbers.

    >>> Word("fine", 0.5, "0.31").percent
    50
    """

    text: str
    share: float
    told: str

    @property
    def percent(self) -> int:
        """The share in whole per cents."""
        return round(100 * self.share)


@dataclass(frozen=True)
class Sentence:
    """A sentence and what became of it.

    Attributes:
        id: of the sentence in its data.
        words: in their order.
        lines: what stands below it, the first one first.
        tags: what it is filtered by.

    >>> Sentence(3, (Word("fine", 1.0, "0.3"),), ("holds",), {}).id
    3
    """

    id: int
    words: tuple[Word, ...]
    lines: tuple[str, ...]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Sentences:
    """Sentences, and what they can be chosen by.

    >>> Sentences.of([Sentence(3, (), ("holds",), {"class": "good"})], {"class": "class"}).filters
    ()
    """

    cards: tuple[Sentence, ...]
    filters: tuple[Filter, ...]

    @classmethod
    def of(cls, cards: Sequence[Sentence], labels: Mapping[str, str]) -> Sentences:
        """Return these sentences, with a filter for each tag in which they differ."""
        return cls(tuple(cards), filters_of([card.tags for card in cards], labels))
