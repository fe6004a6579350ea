"""Which iterate an attack hands to the judge, and which samples it may stop working on.

A tracker is told of every iterate. Its tensors have a row for each sample of the call, and nobody
else writes them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.threat.norms import expand

# The names under which a tracker's tensors are saved.
_SAVED_AS = {"images": "images", "distance": "length", "margin": "margin"}


class Tracker(ABC):
    """What a loop tells of its iterates: `record` every one, `compact` after it, `evaluate` at the
    end.

    Attributes:
        images: (n, …) the kept iterates, rendered; the clean images at first.
        distance: (n,) of the kept image where it fools; infinity where none does, or where the
            tracker does not measure.

    >>> Last(torch.zeros(1, 2)).distance
    tensor([inf])
    """

    images: Float[Tensor, "n ..."]
    distance: Float[Tensor, " n"]
    kept: ClassVar[tuple[str, ...]] = ()
    """The attributes that are all there is to save; none where that is not known."""

    def __init__(self, images: Float[Tensor, "n ..."]) -> None:
        self.images = images.clone()
        self.distance = torch.full_like(images.flatten(1)[:, 0], torch.inf)

    @property
    def fooled(self) -> Bool[Tensor, " n"]:
        """Return, per sample, whether the kept iterate fools the model by the loop's own logits."""
        return torch.zeros_like(self.distance, dtype=torch.bool)

    @abstractmethod
    def record(self, batch: Batch, x: Float[Tensor, "m ..."], logits: Float[Tensor, "m k"]) -> None:
        """Take note of the iterate `x` and its logits."""

    def offer(self, batch: Batch, x: Float[Tensor, "m ..."]) -> None:
        """Record an iterate that no logits are known of; a forward pass."""
        if len(batch):
            self.record(batch, x, batch.logits(x))

    def hand_over(self, batch: Batch, images: Float[Tensor, "m ..."]) -> None:
        """Keep these images for the judge, unseen and whatever came before."""
        self.images[batch.index] = images

    def compact(self, batch: Batch, *state: Tensor) -> tuple[Batch, tuple[Tensor, ...]]:
        """Return the batch and the loop's tensors without the samples that are finished."""
        return batch, state

    def unfinished(self, batch: Batch) -> Batch:
        """Return the samples that another restart should work on."""
        return batch

    def begin_loop(self) -> None:  # noqa: B027 - most trackers need nothing
        """Forget what only the loop before needed."""

    def state(self, rows: Tensor) -> dict[str, Tensor]:
        """Return what is kept of the rows, for `restore`."""
        return {_SAVED_AS[name]: getattr(self, name)[rows] for name in self.kept}

    def restore(self, rows: Tensor, state: Mapping[str, Tensor]) -> None:
        """Keep of the rows what another tracker of the same call kept."""
        for name in self.kept:
            mine: Tensor = getattr(self, name)
            mine[rows] = state[_SAVED_AS[name]].to(mine)


class Last(Tracker):
    """Keeps the last iterate whatever came before, as Madry's training does; never stops early.

    >>> Last(torch.zeros(2, 3)).images.shape
    torch.Size([2, 3])
    """

    kept = ("images", "distance")

    def record(self, batch: Batch, x: Float[Tensor, "m ..."], logits: Float[Tensor, "m k"]) -> None:
        """Do nothing: only the last iterate counts."""

    def offer(self, batch: Batch, x: Float[Tensor, "m ..."]) -> None:
        """Keep `x`, without a pass."""
        self.hand_over(batch, batch.render(x).to(self.images.dtype))


class _ByMargin(Tracker):
    """A tracker that knows the margin (n,) of what it keeps."""

    kept = ("images", "distance", "margin")

    def __init__(self, images: Float[Tensor, "n ..."]) -> None:
        super().__init__(images)
        # In double precision: the margin of a tie must not be rounded to 0.
        self.margin = torch.full_like(self.distance, torch.inf, dtype=torch.float64)

    @property
    def fooled(self) -> Bool[Tensor, " n"]:
        """Return, per sample, whether the kept iterate fools the model by the loop's own logits."""
        return self.margin < 0


class Best(_ByMargin):
    """Keeps the iterate of smallest margin, so a fooling one before any other.

    With `stop="success"` the first fooling iterate is kept and the sample is finished; with "never"
    the search for a smaller margin goes on. On CUDA finished samples leave once they are a quarter,
    by a count that is read one step late, so that no step waits for the host; `lazy` chooses that
    behaviour anywhere.

    >>> best = Best(torch.zeros(2, 3))
    >>> best.fooled
    tensor([False, False])
    """

    def __init__(
        self, images: Float[Tensor, "n ..."], stop: str = "success", lazy: bool | None = None
    ) -> None:
        super().__init__(images)
        self._stop = stop
        self._lazy = images.is_cuda if lazy is None else lazy
        self._finished: tuple[Tensor, torch.cuda.Event | None] | None = None

    def record(self, batch: Batch, x: Float[Tensor, "m ..."], logits: Float[Tensor, "m k"]) -> None:
        """Keep `x` for the samples whose margin it lowers; see `Tracker`."""
        margin, kept = batch.margin(logits).to(self.margin.dtype), self.margin[batch.index]
        better = margin < kept
        if self._stop == "success":
            better &= kept >= 0
        image, before = batch.render(x).to(self.images.dtype), self.images[batch.index]
        self.images[batch.index] = torch.where(expand(better, image), image, before)
        self.margin[batch.index] = torch.where(better, margin, kept)

    def unfinished(self, batch: Batch) -> Batch:
        """Return the samples on which another restart is worth its passes."""
        return batch.at(~self.fooled[batch.index]) if self._stop == "success" else batch

    def begin_loop(self) -> None:
        """Take over no count from the loop before, which may not have been run here."""
        self._finished = None

    def compact(self, batch: Batch, *state: Tensor) -> tuple[Batch, tuple[Tensor, ...]]:
        """Drop the samples that are fooled; see the class for when."""
        if self._stop != "success":
            return batch, state
        fooled = self.fooled[batch.index]
        if self._lazy and not self._quarter_finished(fooled):
            return batch, state
        rows = (~fooled).nonzero().squeeze(1)
        if len(rows) == len(batch):
            return batch, state
        self._finished = None
        return batch.at(rows), tuple(tensor[rows] for tensor in state)

    def _quarter_finished(self, fooled: Tensor) -> bool:
        """Return whether a quarter was finished one call ago, and send for the present count."""
        before = self._finished
        count = torch.empty((), dtype=torch.int64, pin_memory=fooled.is_cuda)
        count.copy_(fooled.sum(), non_blocking=True)
        event = torch.cuda.Event() if fooled.is_cuda else None  # type: ignore[no-untyped-call]
        if event is not None:
            event.record()
        self._finished = (count, event)
        if before is None:
            return False
        if before[1] is not None:
            before[1].synchronize()
        return 4 * int(before[0]) >= len(fooled)


class Nearest(_ByMargin):
    """Keeps the fooling iterate nearest to the clean image: what minimum-norm attacks ask for.

    An iterate counts as fooling when its margin is below 0 by more than rounding, so that it still
    does in another batch. Until there is one, the iterate of smallest margin is kept; the
    judge decides whether it is a success after all.

    Of a model that is `random` at inference one draw says little: a new nearest must fool in four
    more of them.

    >>> nearest = Nearest(torch.zeros(2, 3))
    >>> nearest.distance, nearest.fooled
    (tensor([inf, inf]), tensor([False, False]))
    """

    def __init__(self, images: Float[Tensor, "n ..."], random: bool = False) -> None:
        super().__init__(images)
        self._draws = 4 if random else 0

    def record(self, batch: Batch, x: Float[Tensor, "m ..."], logits: Float[Tensor, "m k"]) -> None:
        """Keep `x` where it fools from nearer than before, or at least lowers the margin."""
        margin, kept = batch.margin(logits).to(self.margin.dtype), self.margin[batch.index]
        before = self.distance[batch.index]
        distance = batch.distance(x).to(before.dtype)
        sure = batch.surely_fooled(logits)
        for _ in range(self._draws):
            rows = (sure & (distance < before)).nonzero().squeeze(1)
            if not len(rows):
                break
            again = batch.at(rows)
            sure[rows] = again.margin(again.logits(x[rows])) < 0
        better = torch.where(sure, distance < before, before.isinf() & (margin < kept))
        if not x.is_cuda:  # on CUDA a look at the values would make the step wait
            rows = better.nonzero().squeeze(1)
            if not len(rows):
                return
            batch, x, sure, better = batch.at(rows), x[rows], sure[rows], better[rows]
            margin, kept, distance, before = margin[rows], kept[rows], distance[rows], before[rows]
        image, held = batch.render(x).to(self.images.dtype), self.images[batch.index]
        self.images[batch.index] = torch.where(expand(better, image), image, held)
        self.margin[batch.index] = torch.where(better, margin, kept)
        self.distance[batch.index] = torch.where(better & sure, distance, before)

    def replace(self, batch: Batch, x: Float[Tensor, "m ..."]) -> None:
        """Keep `x` in place of what is kept, although it may be farther; the margin stays."""
        self.images[batch.index] = batch.render(x).to(self.images.dtype)
        self.distance[batch.index] = batch.distance(x).to(self.distance.dtype)

    def require_confidence(self, batch: Batch, confidence: float) -> None:
        """Ask for a margin of −`confidence` from now on, also of what is kept."""
        self.margin[batch.index] += confidence
        self.distance = torch.where(self.margin < 0, self.distance, torch.inf)

    def reset(self, batch: Batch) -> None:
        """Keep the clean images again, as nothing that fools."""
        self.images[batch.index] = batch.images
        self.distance[batch.index] = self.margin[batch.index] = torch.inf
