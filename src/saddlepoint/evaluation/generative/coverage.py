"""The classes that samples are taken for: does a generator leave some out?"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int64
from torch import Tensor, nn

from saddlepoint.evaluation.generative.sampling import ROWS
from saddlepoint.model import Guard, full_precision


@dataclass(frozen=True)
class ClassHistogram:
    """How many samples a classifier takes for each class.

    >>> found = ClassHistogram((60, 40, 0))
    >>> found.shares, found.missing(0.03)
    ((0.6, 0.4, 0.0), (2,))
    """

    counts: tuple[int, ...]

    @property
    def shares(self) -> tuple[float, ...]:
        """Of all samples."""
        return tuple(count / max(sum(self.counts), 1) for count in self.counts)

    def missing(self, least: float) -> tuple[int, ...]:
        """Return the classes that have less than this share."""
        return tuple(i for i, share in enumerate(self.shares) if share < least)


def class_histogram(model: nn.Module, images: Float[Tensor, "n c h w"]) -> ClassHistogram:
    """Return how many images a classifier takes for each class, those of its logits.

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    >>> import torch
    >>> sum(class_histogram(net, torch.rand(10, 1, 2, 2)).counts)
    10
    """
    counts: Int64[Tensor, " k"] | None = None
    with Guard(model, min(len(images), ROWS)) as guard, full_precision(guard.device):
        for start in range(0, len(images), ROWS):
            logits = guard.logits(images[start : start + ROWS].to(guard.device))
            here = logits.argmax(1).bincount(minlength=logits.shape[1])
            counts = here if counts is None else counts + here
    return ClassHistogram(() if counts is None else tuple(counts.tolist()))
