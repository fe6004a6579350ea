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

# The names of a tracker's tensors in files. `distance` was once called "length", and unfinished
# folders of then are still gone on with.
_SAVED_AS = {"images": "images", "distance": "length", "margin": "margin"}


class Tracker(ABC):
    """Keeps one iterate per sample: a loop calls `record` at every one, then `compact`, and `offer`
    with the last.

    Attributes:
        images: (n, …) the kept iterates, rendered; the clean images at first.
        distance: (n,) of the kept image where it fools; infinity where it does not, or where the
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
        """Keep the iterate `x`, whose logits are known, where it is better than the kept one."""

    def offer(self, batch: Batch, x: Float[Tensor, "m ..."]) -> None:
        """Record an iterate whose logits are not known, at the cost of a forward pass; where logits
        do not matter (`Last`), keep it without one.
        """
        if len(batch):
            self.record(batch, x, batch.logits(x))

    def hand_over(self, batch: Batch, images: Float[Tensor, "m ..."]) -> None:
        """Keep these images for the judge in place of the kept ones, without a pass."""
        self.images[batch.index] = images

    def compact(self, batch: Batch, *state: Tensor) -> tuple[Batch, tuple[Tensor, ...]]:
        """Return the batch and the loop's tensors without the samples that are finished."""
        return batch, state

    def unfinished(self, batch: Batch) -> Batch:
        """Return the samples that another restart should work on."""
        return batch

    def begin_loop(self) -> None:  # noqa: B027 - most trackers need nothing
        """Forget what only the loop before needed; what is kept stays."""

    def state(self, rows: Tensor) -> dict[str, Tensor]:
        """Return what is kept of these rows of the call, for `restore`."""
        return {_SAVED_AS[name]: getattr(self, name)[rows] for name in self.kept}

    def restore(self, rows: Tensor, state: Mapping[str, Tensor]) -> None:
        """Keep for these rows what `state` returned of another tracker of the same call."""
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
    """A tracker that knows the criterion's margin (n,) of what it keeps."""

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
        margin, kept_margin = batch.margin(logits).to(self.margin.dtype), self.margin[batch.index]
        better = margin < kept_margin
        if self._stop == "success":
            better &= kept_margin >= 0  # the first fooling iterate stays
        if not x.is_cuda:  # on CUDA a look at the values would make the step wait
            rows = better.nonzero().squeeze(1)
            if len(rows) < len(better):
                batch, x, margin = batch.at(rows), x[rows], margin[rows]
            self.images[batch.index] = batch.render(x).to(self.images.dtype)
            self.margin[batch.index] = margin
            return
        image, kept_image = batch.render(x).to(self.images.dtype), self.images[batch.index]
        self.images[batch.index] = torch.where(expand(better, image), image, kept_image)
        self.margin[batch.index] = torch.where(better, margin, kept_margin)

    def unfinished(self, batch: Batch) -> Batch:
        """Return the samples on which another restart is worth its passes."""
        return batch.at(~self.fooled[batch.index]) if self._stop == "success" else batch

    def begin_loop(self) -> None:
        """Forget the count of finished samples: the loop before may not have been run here."""
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
        """Return whether a quarter was finished one call ago, and ask for the present count."""
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

    An iterate fools *surely* when its margin is below 0 by more than rounding, so that it still does
    in another batch; `distance` is that of the nearest such iterate. Until there is one, the iterate
    of smallest margin is kept, and `fooled` says that this margin is below 0 at all: then the
    distance stays infinite, and the judge decides whether it is a success after all.

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
        """Keep `x` where it fools from nearer than the kept one, or where none fools yet and it
        lowers the margin.
        """
        margin, kept_margin = batch.margin(logits).to(self.margin.dtype), self.margin[batch.index]
        kept_distance = self.distance[batch.index]
        distance = batch.distance(x).to(kept_distance.dtype)
        nearer, sure = distance < kept_distance, batch.surely_fooled(logits)
        for _ in range(self._draws):
            rows = (sure & nearer).nonzero().squeeze(1)
            if not len(rows):
                break
            again = batch.at(rows)
            sure[rows] = again.margin(again.logits(x[rows])) < 0
        better = torch.where(sure, nearer, kept_distance.isinf() & (margin < kept_margin))
        if not x.is_cuda:  # on CUDA a look at the values would make the step wait
            rows = better.nonzero().squeeze(1)
            if not len(rows):
                return
            batch, x, sure, better = batch.at(rows), x[rows], sure[rows], better[rows]
            margin, kept_margin = margin[rows], kept_margin[rows]
            distance, kept_distance = distance[rows], kept_distance[rows]
        image, kept_image = batch.render(x).to(self.images.dtype), self.images[batch.index]
        self.images[batch.index] = torch.where(expand(better, image), image, kept_image)
        self.margin[batch.index] = torch.where(better, margin, kept_margin)
        self.distance[batch.index] = torch.where(better & sure, distance, kept_distance)

    def replace(self, batch: Batch, x: Float[Tensor, "m ..."]) -> None:
        """Keep `x` in place of the kept iterate, although it may be farther; the margin stays."""
        self.images[batch.index] = batch.render(x).to(self.images.dtype)
        self.distance[batch.index] = batch.distance(x).to(self.distance.dtype)

    def require_confidence(self, batch: Batch, confidence: float) -> None:
        """Count what is kept as fooling only where its margin was below −`confidence`; of what is
        recorded later the batch's criterion must ask it.
        """
        self.margin[batch.index] += confidence
        self.distance = torch.where(self.margin < 0, self.distance, torch.inf)

    def reset(self, batch: Batch) -> None:
        """Keep the clean images again, and no success."""
        self.images[batch.index] = batch.images
        self.distance[batch.index] = self.margin[batch.index] = torch.inf
