"""Letters, and the same letters in another order; letters, and which came before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from saddlepoint.text.rules.rule import Example, Rule, between, pick

_LETTERS = "abcdefghijklmnop"
_LEAST, _MOST = 3, 12


class Copy(Rule):
    """The same letters.

    >>> Copy().make([0.0, 0.0, 0.1, 0.2] + [0.0] * 9)
    Example(texts=('a b d',), answer='a b d')
    """

    name: ClassVar[str] = "copy"
    what: ClassVar[str] = "3 to 12 letters again"
    draws: ClassVar[int] = 1 + _MOST

    def make(self, u: Sequence[float]) -> Example:
        """Return 3 to 12 letters, and what becomes of them."""
        letters = [pick(_LETTERS, x) for x in u[1 : 1 + between(_LEAST, _MOST, u[0])]]
        return Example((" ".join(letters),), " ".join(self.moved(letters)))

    def moved(self, letters: list[str]) -> list[str]:
        """Return the letters of the answer."""
        return letters


class Reverse(Copy):
    """The letters from the last to the first.

    >>> Reverse().moved(["b", "a", "c"])
    ['c', 'a', 'b']
    """

    name: ClassVar[str] = "reverse"
    what: ClassVar[str] = "3 to 12 letters from the last to the first"

    def moved(self, letters: list[str]) -> list[str]:
        """Return the letters of the answer."""
        return letters[::-1]


class Sort(Copy):
    """The letters in the order of the alphabet.

    >>> Sort().moved(["b", "a", "b"])
    ['a', 'b', 'b']
    """

    name: ClassVar[str] = "sort"
    what: ClassVar[str] = "3 to 12 letters in the order of the alphabet"

    def moved(self, letters: list[str]) -> list[str]:
        """Return the letters of the answer."""
        return sorted(letters)


class Repeats(Copy):
    """For each letter whether it came before: a task on tokens.

    >>> Repeats().make([0.0, 0.0, 0.1, 0.0] + [0.0] * 9)
    Example(texts=('a b a',), answer=(0, 0, 1))
    """

    name: ClassVar[str] = "repeats"
    what: ClassVar[str] = "for each of 3 to 12 letters whether it came before"
    classes: ClassVar[tuple[str, ...]] = ("new", "repeated")

    def make(self, u: Sequence[float]) -> Example:
        """Return 3 to 12 letters and a class for each."""
        (text,) = super().make(u).texts
        letters = text.split()
        return Example((text,), tuple(int(x in letters[:i]) for i, x in enumerate(letters)))
