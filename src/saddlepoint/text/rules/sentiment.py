"""Reviews from a grammar, whose best possible accuracy is known."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import comb
from typing import ClassVar

from saddlepoint.errors import InputError
from saddlepoint.text.rules.rule import Example, Rule, between, pick

_NOUNS = [
    "film",
    "plot",
    "cast",
    "music",
    "story",
    "ending",
    "script",
    "acting",
    "camera",
    "dialogue",
    "humour",
    "pace",
    "hero",
    "villain",
]
_VERBS = ("is", "was", "seems")
_DEGREES = ("", "very ", "rather ", "truly ", "simply ")
_GOOD = [
    "good",
    "great",
    "lovely",
    "brilliant",
    "charming",
    "clever",
    "fresh",
    "funny",
    "moving",
    "warm",
]
_BAD = ["bad", "dull", "awful", "clumsy", "boring", "stale", "tired", "weak", "empty", "cold"]
_LINKS = (" and ", " , ", " while ")
_CLAUSE = re.compile(
    rf"the \w+ (?:{'|'.join(_VERBS)}) (not )?(?:{'|'.join(_DEGREES[1:])})?({'|'.join(_GOOD + _BAD)})"
)


class Sentiment(Rule):
    """One to four clauses, each of which says what the reviewer thinks with probability 0.85 and else
    the contrary; half of the clauses say it by "not".

    The clauses are independent given the class, and all words but the polarity of a clause are
    independent of it. So nothing but the number of positive clauses tells anything, and no classifier
    is better than the majority of the clauses, which `bayes_accuracy` is the accuracy of.

    >>> Sentiment().make([0.9, 0.0, 0.1, 0.0, 0.0, 0.0, 0.9, 0.0, 0.0] + [0.0] * 21)
    Example(texts=('the film is good',), answer=1)
    """

    name: ClassVar[str] = "sentiment"
    what: ClassVar[str] = "reviews of 1 to 4 clauses that may contradict each other"
    draws: ClassVar[int] = 2 + 4 * 7
    classes: ClassVar[tuple[str, ...]] = ("negative", "positive")
    unique: ClassVar[bool] = False

    most: ClassVar[int] = 4
    honest: ClassVar[float] = 0.85

    def make(self, u: Sequence[float]) -> Example:
        """Return a review and what its writer thinks."""
        label = int(u[0] >= 0.5)
        clauses = between(1, self.most, u[1])
        text = ""
        for i in range(clauses):
            honest, noun, verb, degree, negated, word, link = u[2 + 7 * i : 9 + 7 * i]
            positive = label if honest < self.honest else 1 - label
            denied = negated < 0.5
            adjective = pick(_GOOD if positive ^ denied else _BAD, word)
            text += pick(_LINKS, link) if i else ""
            text += f"the {pick(_NOUNS, noun)} {pick(_VERBS, verb)} {'not ' if denied else ''}"
            text += pick(_DEGREES, degree) + adjective
        return Example((text,), label)

    def positives(self, text: str) -> tuple[int, int]:
        """Return how many clauses of a review are positive, and how many there are.

        Raises `InputError` for a text that the grammar does not make.

        >>> Sentiment().positives("the film is not good and the cast was very warm")
        (1, 2)
        """
        clauses = _CLAUSE.findall(text)
        if not clauses:
            raise InputError(f"no clause of the grammar is in {text[:40]!r}")
        return sum((word in _GOOD) ^ bool(denied) for denied, word in clauses), len(clauses)

    def bayes_accuracy(self) -> float:
        """Return the accuracy of the best possible classifier, exactly.

        P(right) = mean over m clauses of Σ_k max(P(k | positive), P(k | negative))/2, where k of
        m clauses are positive: binomial with p = 0.85 and with p = 0.15.

        >>> round(Sentiment().bayes_accuracy(), 9)
        0.894625
        """
        p, total = self.honest, 0.0
        for m in range(1, self.most + 1):
            for k in range(m + 1):
                likely = p**k * (1 - p) ** (m - k), p ** (m - k) * (1 - p) ** k
                total += comb(m, k) * max(likely) / 2
        return total / self.most
