"""What a rule-made set is: examples whose right answer is known, made of uniform numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

Answer = str | int | tuple[int, ...]
"""A text, a class, or a class for each word."""
Item = TypeVar("Item")


@dataclass(frozen=True)
class Example:
    """A text, or a pair of them, and the answer.

    >>> Example(("b a",), "a b").answer
    'a b'
    """

    texts: tuple[str, ...]
    answer: Answer


class Rule(ABC):
    """Makes an example of numbers in (0, 1).

    >>> from saddlepoint.text.rules import RULES
    >>> RULES["reverse"].make([0.0] * 13)
    Example(texts=('a a a',), answer='a a a')
    """

    name: ClassVar[str]
    what: ClassVar[str]
    """One line."""
    draws: ClassVar[int]
    """Numbers that an example takes."""
    classes: ClassVar[tuple[str, ...]] = ()
    """The names of the classes; none where the answer is a text."""
    unique: ClassVar[bool] = True
    """Whether an example may come once only. One that the answer is drawn for may come again."""

    @abstractmethod
    def make(self, u: Sequence[float]) -> Example:
        """Return the example of `draws` numbers."""


def pick(items: Sequence[Item], u: float) -> Item:
    """Return the item at the share `u` of a list.

    >>> pick("abcd", 0.5)
    'c'
    """
    return items[int(u * len(items))]


def between(least: int, most: int, u: float) -> int:
    """Return the whole number at the share `u` of those from `least` to `most`.

    >>> between(1, 4, 0.99)
    4
    """
    return least + int(u * (most - least + 1))
