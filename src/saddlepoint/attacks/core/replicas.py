"""Many iterates of each sample at once, of which the best is told to the tracker of the call."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.tracker import Tracker


def replicated(batch: Batch, count: int) -> Batch:
    """Return the batch with each sample `count` times in a row.

    Their draws are the same: what is to differ is drawn of the batch itself. Of them nothing is
    remembered as a stage.
    """
    rows = torch.arange(len(batch), device=batch.index.device).repeat_interleave(count)
    return replace(batch.at(rows), stages=None)


class Replicas(Tracker):
    """A tracker that is told of `replicated` samples, and passes the best of each on."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self.images, self.distance = tracker.images, tracker.distance

    @property
    def fooled(self) -> Tensor:
        """Return, per sample of the call, whether the kept iterate fools."""
        return self._tracker.fooled

    def record(self, batch: Batch, x: Float[Tensor, "m ..."], logits: Float[Tensor, "m k"]) -> None:
        """Pass on the iterate of smallest margin of each sample."""
        rows = least_of_each(batch, batch.margin(logits))
        self._tracker.record(batch.at(rows), x[rows], logits[rows])

    def unfinished(self, batch: Batch) -> Batch:
        """Return the replicas of samples that no replica has fooled."""
        return batch.at(~self.fooled[batch.index])

    def compact(self, batch: Batch, *state: Tensor) -> tuple[Batch, tuple[Tensor, ...]]:
        """Drop all replicas of the samples that are fooled."""
        rows = (~self.fooled[batch.index]).nonzero().squeeze(1)
        if len(rows) == len(batch):
            return batch, state
        return batch.at(rows), tuple(tensor[rows] for tensor in state)


def least_of_each(batch: Batch, values: Float[Tensor, " m"]) -> Tensor:
    """Return the row of the smallest value of each sample of the call, the first of equal ones."""
    samples, which = torch.unique(batch.index, return_inverse=True)
    order = values.argsort(stable=True)
    which, place = which[order], torch.arange(len(order), device=order.device)
    first = torch.full_like(samples, len(order)).scatter_reduce(0, which, place, "amin")
    return order[first]
