"""Pairs of sentences of which the second says the same as the first, or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from saddlepoint.text.rules.rule import Example, Rule, pick

_COLOURS = ["red", "green", "blue", "black", "white", "yellow"]
_THINGS = ["ball", "box", "cup", "lamp", "book", "chair", "key", "coin"]
_PLACES = (("left of", "right of"), ("above", "below"), ("before", "behind"))


class Places(Rule):
    """Does the second sentence follow from the first? It names the same two things, in the other order
    (three times in four) or the same one, with one of the two words of place: the words of both classes
    are alike.

    Were both orders as frequent, it would be a parity of three, of which no two parts tell anything, and
    a BERT of two blocks had not begun to learn it after 3,000 steps.

    >>> Places().make([0.0, 0.0, 0.5, 0.5, 0.0, 0.0, 0.0, 0.9])
    Example(texts=('the red ball is left of the black book', 'the black book is right of the red ball'),
    answer=1)
    """

    name: ClassVar[str] = "places"
    what: ClassVar[str] = "whether a sentence about two things follows from another"
    draws: ClassVar[int] = 8
    classes: ClassVar[tuple[str, ...]] = ("does not follow", "follows")

    def make(self, u: Sequence[float]) -> Example:
        """Return a pair of sentences."""
        one = f"the {pick(_COLOURS, u[0])} {pick(_THINGS, u[1])}"
        other = f"the {pick(_COLOURS, u[2])} {pick(_THINGS, u[3])}"
        words = pick(_PLACES, u[4])
        way, swapped, label = int(u[5] >= 0.5), u[6] < 0.75, int(u[7] >= 0.5)
        if one == other:  # nothing is left of itself
            other = f"the old {other.removeprefix('the ')}"
        first = f"{one} is {words[way]} {other}"
        right = way ^ int(swapped)
        things = (other, one) if swapped else (one, other)
        second = f"{things[0]} is {words[right if label else 1 - right]} {things[1]}"
        return Example((first, second), label)
