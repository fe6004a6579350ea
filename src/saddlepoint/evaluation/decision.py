"""The answer to whether robust accuracy reaches a threshold, from images in random order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from saddlepoint.evaluation.confidence_sequence import Bounds, ConfidenceSequence
from saddlepoint.evaluation.statistics import Proportion
from saddlepoint.evaluation.until import Answer, Until, decide, parse_until
from saddlepoint.streams import generator

LEVEL = 0.95


@dataclass(frozen=True)
class Decision:
    """What is known of a question about robust accuracy: it is of the attacks that were run, and a
    stronger suite may find less.

    Attributes:
        until: the question.
        answer: None while the bounds hold both answers.
        seen, robust: images through with all attacks, and those of them that stand.
        bounds: of how many of all images stand under the suite.

    >>> print(Decision(Until(0.45), "yes", 96, 60, Bounds(178, 250, 355)))
    robust>=0.45 under this suite: yes, at a level of 95 %; of 96 images in random order 62.5 % stand,
    of all 355 between 50.1 and 70.4 %
    """

    until: Until
    answer: Answer | None
    seen: int
    robust: int
    bounds: Bounds

    def __str__(self) -> str:
        told = "not decided yet" if self.answer is None else f"{self.answer}{self._surely}"
        low, high = (100 * each for each in self.bounds.shares)
        share = f" {100 * self.robust / self.seen:.1f} %" if self.seen else " none"
        return (
            f"{self.until} under this suite: {told}; of {self.seen:,} images in random order{share}"
            f" stand, of all {self.bounds.total:,} between {low:.1f} and {high:.1f} %"
        )

    @property
    def _surely(self) -> str:
        whole = self.seen == self.bounds.total
        return "" if whole else f", at a level of {100 * LEVEL:.0f} %"

    @property
    def share(self) -> Proportion:
        """The share of the seen images that stand."""
        return Proportion(self.robust, max(self.seen, 1))

    def json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "question": str(self.until),
            "of": "robust accuracy under this suite",
            "answer": self.answer,
            "seen": self.seen,
            "robust": self.robust,
            "bounds": {
                "low": self.bounds.low,
                "high": self.bounds.high,
                "total": self.bounds.total,
            },
            "level": LEVEL,
        }

    @classmethod
    def of_json(cls, values: Mapping[str, Any]) -> Decision:
        """Return what `json` described; raises `ValueError` for no such.

        >>> some = Decision(Until(0.45), None, 3, 2, Bounds(2, 9, 10))
        >>> Decision.of_json(some.json()) == some
        True
        """
        answer, bounds = values["answer"], values["bounds"]
        if answer not in ("yes", "no", None):
            raise ValueError(f"{answer!r} is no answer")
        return cls(
            parse_until(values["question"]),
            answer,
            int(values["seen"]),
            int(values["robust"]),
            Bounds(*(int(bounds[name]) for name in ("low", "high", "total"))),
        )


def blocks(total: int, size: int, seed: int) -> Iterator[Tensor]:
    """Yield the ids of all images in an order that the seed draws, `size` at a time, each block
    ascending.

    >>> [len(block) for block in blocks(10, 4, seed=0)]
    [4, 4, 2]
    """
    order = torch.randperm(total, generator=generator(seed, "until"))
    for block in torch.split(order, size):
        yield block.sort().values


@dataclass
class Counted:
    """The count of what stands, block after block.

    Args:
        until: what is asked.
        total: images in all.
        right: of them before any attack, which are all looked at: no more can stand.

    >>> counted = Counted(Until(0.9), total=100, right=80)
    >>> counted.decision().answer
    'no'
    """

    until: Until
    total: int
    right: int
    seen: int = 0
    robust: int = 0
    fooled: int = 0
    bounds: Bounds | None = None

    def add(self, seen: int, right: int, robust: int) -> None:
        """Take in a block: its images, those that are right, those that stand."""
        self.seen, self.robust = self.seen + seen, self.robust + robust
        self.fooled += right - robust
        sequence = ConfidenceSequence(self.total, LEVEL)
        self.bounds = sequence.after(self.robust, self.seen, self.bounds)

    def decision(self) -> Decision:
        """Return what is known now."""
        bounds = Bounds(self.robust, self.right - self.fooled, self.total)  # beyond doubt
        if self.bounds is not None:
            bounds = bounds.within(self.bounds)
        answer = decide(self.until, bounds)
        return Decision(self.until, answer, self.seen, self.robust, bounds)
