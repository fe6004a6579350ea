"""Fixed images that a model was given again and again: in expectation, at worst, and by vote."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64
from torch import Tensor

from saddlepoint.counts import check_count
from saddlepoint.errors import InputError
from saddlepoint.evaluation.mean_share import MeanShare, mean_share
from saddlepoint.evaluation.statistics import Proportion

RESUBMISSIONS = (1, 10, 100)
"""How often an image is handed in: the budgets of queries that are told."""


@dataclass(frozen=True, eq=False)
class Resubmitted:
    """What became of fixed images that a model was given again and again.

    Attributes:
        draws: how often.
        standing: (n,) in how many of them the image stood.
        voted: (n,) whether it stands by the vote of all draws.

    >>> import torch
    >>> twice = Resubmitted(20, torch.tensor([20, 10]), torch.tensor([True, False]))
    >>> [round(twice.worst_of(times).value, 3) for times in (1, 2, 20)], twice.vote.count
    ([0.75, 0.618, 0.5], 1)
    """

    draws: int
    standing: Int64[Tensor, " n"]
    voted: Bool[Tensor, " n"]

    @property
    def expected(self) -> MeanShare:
        """The share of images that stand in one draw, in expectation."""
        return self.worst_of(1)

    @property
    def budgets(self) -> tuple[int, ...]:
        """The numbers of resubmissions that there are draws for."""
        return tuple(times for times in RESUBMISSIONS if times <= self.draws)

    @property
    def vote(self) -> Proportion:
        """The share of images that stand by the vote of all draws."""
        return Proportion(int(self.voted.sum()), len(self.voted))

    def worst_of(self, times: int) -> MeanShare:
        """Return the share of images that stand in all of so many resubmissions.

        Of an image that stood in k of the D draws, C(k, N) of the C(D, N) choices of N draws
        are such that it stood in all: their share is without bias for any N up to D (a U-statistic,
        Hoeffding 1948), which qᴺ of an estimated q is not.

        Raises `InputError` for more resubmissions than there were draws.

        >>> import torch
        >>> round(Resubmitted(20, torch.tensor([19]), torch.tensor([True])).worst_of(5).value, 9)
        0.75
        """
        check_count("times", times)
        if times > self.draws:
            raise InputError(f"{times} resubmissions, but {self.draws} draws; give draws={times}")
        k = self.standing.cpu().numpy().astype(np.float64)[:, None]
        j = np.arange(times)
        all_stood = np.prod(np.clip(k - j, 0, None) / (self.draws - j), axis=1)
        return mean_share(all_stood, self.draws / times)

    def json(self) -> dict[str, object]:
        """Return the numbers for a record.

        >>> import torch
        >>> Resubmitted(20, torch.tensor([20]), torch.tensor([True])).json()["draws"]
        20
        """
        return {
            "draws": self.draws,
            "expected": self.expected.json(),
            "worst_of": {str(times): self.worst_of(times).json() for times in self.budgets},
            "majority_vote": self.vote.json(),
        }


def in_words(times: int) -> str:
    """Return in which draws an image must be right, for a table.

    >>> in_words(1), in_words(10)
    ('in 1 draw, expected', 'in all of 10 draws')
    """
    return "in 1 draw, expected" if times == 1 else f"in all of {times:,} draws"
