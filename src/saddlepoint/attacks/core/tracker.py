"""Which iterate an attack hands to the judge, and which samples it may stop working on."""

from __future__ import annotations

from typing import Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.threat.norms import expand


class Keeper(Protocol):
    """What a loop tells of its iterates: `record` every one, `compact` after it, `last` at the end.

    >>> from saddlepoint.attacks import Best
    >>> isinstance(Best(torch.zeros(1, 2)).images, Tensor)
    True
    """

    images: Float[Tensor, "n ..."]
    length: Float[Tensor, " n"]
    """The distance of the kept image where it fools; infinity where none does, or where the keeper
    does not measure.
    """

    def record(self, batch: Batch, x: Float[Tensor, "m ..."], logits: Float[Tensor, "m k"]) -> None:
        """Take note of the iterate `x` and its logits."""
        ...

    def compact(self, batch: Batch, *state: Tensor) -> tuple[Batch, tuple[Tensor, ...]]:
        """Return the batch and the loop's tensors without the samples that are finished."""
        ...

    def last(self, batch: Batch, x: Float[Tensor, "m ..."]) -> None:
        """Take note of the final iterate."""
        ...

    def unfinished(self, batch: Batch) -> Batch:
        """Return the samples that another restart should work on."""
        ...


class Best:
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
        self.images = images.clone()
        self.length = torch.full_like(images.flatten(1)[:, 0], torch.inf)
        # In double precision: the margin of a tie must not be rounded to 0.
        self.margin = torch.full_like(self.length, torch.inf, dtype=torch.float64)
        self._stop = stop
        self._lazy = images.is_cuda if lazy is None else lazy
        self._finished: tuple[Tensor, torch.cuda.Event | None] | None = None

    @property
    def fooled(self) -> Bool[Tensor, " n"]:
        """Say whose kept iterate fools the model, by the loop's own logits."""
        return self.margin < 0

    def record(self, batch: Batch, x: Float[Tensor, "m ..."], logits: Float[Tensor, "m k"]) -> None:
        """Keep `x` for the samples whose margin it lowers; see `Keeper`."""
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

    def begin(self) -> None:
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

    def last(self, batch: Batch, x: Float[Tensor, "m ..."]) -> None:
        """Evaluate the final iterate, which no gradient was taken at."""
        if len(batch):
            self.record(batch, x, batch.logits(x))

    def _quarter_finished(self, fooled: Tensor) -> bool:
        """Say whether a quarter was finished one call ago, and send for the present count."""
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


class Last:
    """Keeps the last iterate whatever came before, as Madry's training and the report do; never
    stops early.

    >>> Last(torch.zeros(2, 3)).images.shape
    torch.Size([2, 3])
    """

    def __init__(self, images: Float[Tensor, "n ..."]) -> None:
        self.images = images.clone()
        self.length = torch.full_like(images.flatten(1)[:, 0], torch.inf)

    def record(self, batch: Batch, x: Float[Tensor, "m ..."], logits: Float[Tensor, "m k"]) -> None:
        """Do nothing: only the last iterate counts."""

    def compact(self, batch: Batch, *state: Tensor) -> tuple[Batch, tuple[Tensor, ...]]:
        """Return everything as it is."""
        return batch, state

    def last(self, batch: Batch, x: Float[Tensor, "m ..."]) -> None:
        """Keep `x`."""
        self.images[batch.index] = batch.render(x).to(self.images.dtype)

    def unfinished(self, batch: Batch) -> Batch:
        """Return the whole batch."""
        return batch


class Nearest:
    """Keeps the fooling iterate nearest to the clean image: what minimum-norm attacks ask for.

    An iterate counts as fooling when its margin is below 0 by more than rounding, so that it still
    does in another batch. Until there is one, the iterate of smallest margin is kept; the
    judge decides whether it is a success after all.

    Of a model that is `random` at inference one draw says little: a new nearest must fool in four
    more of them.

    >>> nearest = Nearest(torch.zeros(2, 3))
    >>> nearest.length, nearest.fooled
    (tensor([inf, inf]), tensor([False, False]))
    """

    def __init__(self, images: Float[Tensor, "n ..."], random: bool = False) -> None:
        self.images = images.clone()
        self.length = torch.full_like(images.flatten(1)[:, 0], torch.inf)
        self.margin = torch.full_like(self.length, torch.inf, dtype=torch.float64)
        self._draws = 4 if random else 0

    @property
    def fooled(self) -> Bool[Tensor, " n"]:
        """Say whose kept iterate fools the model, by the loop's own logits."""
        return self.margin < 0

    def record(self, batch: Batch, x: Float[Tensor, "m ..."], logits: Float[Tensor, "m k"]) -> None:
        """Keep `x` where it fools from nearer than before, or at least lowers the margin."""
        margin, kept = batch.margin(logits).to(self.margin.dtype), self.margin[batch.index]
        before = self.length[batch.index]
        length = batch.length(x).to(before.dtype)
        sure = batch.surely_fooled(logits)
        for _ in range(self._draws):
            rows = (sure & (length < before)).nonzero().squeeze(1)
            if not len(rows):
                break
            again = batch.at(rows)
            sure[rows] = again.margin(again.logits(x[rows])) < 0
        better = torch.where(sure, length < before, before.isinf() & (margin < kept))
        if not x.is_cuda:  # on CUDA a look at the values would make the step wait
            rows = better.nonzero().squeeze(1)
            if not len(rows):
                return
            batch, x, sure, better = batch.at(rows), x[rows], sure[rows], better[rows]
            margin, kept, length, before = margin[rows], kept[rows], length[rows], before[rows]
        image, held = batch.render(x).to(self.images.dtype), self.images[batch.index]
        self.images[batch.index] = torch.where(expand(better, image), image, held)
        self.margin[batch.index] = torch.where(better, margin, kept)
        self.length[batch.index] = torch.where(better & sure, length, before)

    def compact(self, batch: Batch, *state: Tensor) -> tuple[Batch, tuple[Tensor, ...]]:
        """Return everything as it is: a success is not the end of the search."""
        return batch, state

    def last(self, batch: Batch, x: Float[Tensor, "m ..."]) -> None:
        """Evaluate the final iterate, which no gradient was taken at."""
        if len(batch):
            self.record(batch, x, batch.logits(x))

    def unfinished(self, batch: Batch) -> Batch:
        """Return the whole batch."""
        return batch
