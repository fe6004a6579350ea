"""The stages of an attack: restarts, targets, members, of which one that is done is not done again.

A stage changes two things and no others: what the tracker holds of the samples in its batch, and what
the guard counts and draws. Both are remembered when it ends. An attack that is called again, with
the same images and what was remembered, runs through its loops as before; in place of a stage that
is done, what it changed is put back. Its result is the same to the bit.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.model.tally import go_on_from, tally_of

Columns = dict[str, Tensor]


class Shelf(Protocol):
    """Where stages are kept, by name.

    >>> from saddlepoint.evaluation.journal import Journal
    >>> shelf: Shelf = Journal(None)
    >>> shelf.found
    {}
    """

    found: dict[str, list[Columns]]
    """What was kept by an earlier process."""

    def add(self, name: str, columns: Columns) -> None:
        """Keep an entry."""
        ...

    def drop(self, prefix: str) -> None:
        """Entries whose names begin so are no longer needed."""
        ...


class Paused(Exception):  # noqa: N818 - it is no error
    """As many stages are done as were asked for: what is kept so far goes to the judge.

    >>> issubclass(Paused, Exception)
    True
    """


class Stages:
    """The stages of one call, each known by its place in the nested loops.

    Args:
        shelf: where they are kept.
        name: of the call; nothing else on the shelf has it.
        most: stop after so many of the outermost; None is after all. Another call goes on from there.

    >>> from saddlepoint.attacks import PGD
    >>> from saddlepoint.evaluation.journal import Journal
    >>> from saddlepoint.threat import Linf
    >>> net, images, labels = torch.nn.Flatten(), torch.tensor([[0.9, 0.3]]), torch.tensor([0])
    >>> attack, shelf = PGD(Linf(0.1), restarts=2), Journal(None)
    >>> int(attack(net, images, labels, stages=Stages(shelf, "pgd")).backwards)
    40
    """

    def __init__(self, shelf: Shelf, name: str, most: int | None = None) -> None:
        self._shelf, self._name, self._most = shelf, name, most
        self._place = [0]
        self.seconds = 0.0
        """What those that were put back had taken."""

    def of_first(self, most: int) -> Stages:
        """Return the stages of a call that stops after so many of the outermost."""
        return Stages(self._shelf, self._name, most)

    def run(self, batch: Batch, tracker: Tracker, work: Callable[[], None]) -> None:
        """Do `work`, which tells `tracker` of samples of `batch`; or put back what it did before."""

        def done() -> Columns:
            work()
            return _taken(batch, tracker)

        with self._next() as name:
            before = self._shelf.found.get(name)
            if not tracker.kept:  # who knows what it keeps
                work()
            elif before and torch.equal(before[-1]["index"], batch.index.cpu()):
                self.seconds += float(before[-1]["seconds"])
                _put_back(before[-1], batch, tracker)
            else:
                self._keep(name, done)

    def remember(self, work: Callable[[], Columns]) -> Columns:
        """Return what `work` returns, or what it returned before."""
        with self._next() as name:
            before = self._shelf.found.get(name)
            if not before:
                return self._keep(name, work)
            self.seconds += float(before[-1]["seconds"])
            return {key: value for key, value in before[-1].items() if key != "seconds"}

    def _keep(self, name: str, work: Callable[[], Columns]) -> Columns:
        began, put_back = time.perf_counter(), self.seconds
        columns = work()
        spent = time.perf_counter() - began + self.seconds - put_back
        self._shelf.drop(f"{name}.")  # the stages of this one, which is whole now
        self._shelf.add(name, {**columns, "seconds": torch.tensor(spent, dtype=torch.float64)})
        return columns

    @contextlib.contextmanager
    def _next(self) -> Iterator[str]:
        if self._most is not None and self._place == [self._most]:
            raise Paused
        name = f"{self._name}: {'.'.join(map(str, self._place))}"
        self._place.append(0)
        try:
            yield name
        finally:
            self._place.pop()
            self._place[-1] += 1


def stage(batch: Batch, tracker: Tracker, work: Callable[[], None]) -> None:
    """Do a stage of an attack, unless the call remembers that it is done; see the module.

    Args:
        batch, tracker: as in `perturb`; what `work` tells the tracker is of these samples alone.
        work: the stage.

    >>> from saddlepoint.attacks import Last, Misclassified
    >>> from saddlepoint.streams import Keys
    >>> from saddlepoint.model import Guard
    >>> from saddlepoint.threat import Linf
    >>> x, rows = torch.full((1, 3), 0.5), torch.arange(1)
    >>> batch = Batch(Guard(torch.nn.Flatten(), 1), Linf(0.1), Misclassified(), x, rows, Keys(0, rows), rows)
    >>> tracker = Last(x)
    >>> stage(batch, tracker, lambda: tracker.offer(batch, x + 0.1))
    >>> tracker.images
    tensor([[0.6000, 0.6000, 0.6000]])
    """
    tracker.begin_loop()
    if batch.stages is None:
        work()
    else:
        batch.stages.run(batch, tracker, work)


def each_stage(batch: Batch, tracker: Tracker, works: Iterable[Callable[[Batch], None]]) -> None:
    """Do one stage after the other, each on the samples that none before it has finished.

    Args:
        batch, tracker: as in `perturb`.
        works: the stages; each is called with its samples, if there are any.

    >>> from saddlepoint.attacks import PGD
    >>> from saddlepoint.threat import Linf
    >>> net, images, labels = torch.nn.Flatten(), torch.tensor([[0.6, 0.5]]), torch.tensor([0])
    >>> int(PGD(Linf(0.2), steps=4, restarts=9)(net, images, labels).backwards) <= 4
    True
    """
    for work in works:
        active = tracker.unfinished(batch)
        if not len(active):
            return
        stage(active, tracker, partial(work, active))


def _taken(batch: Batch, tracker: Tracker) -> Columns:
    held = {f"kept {name}": value.cpu() for name, value in tracker.state(batch.index).items()}
    tally = {f"guard {name}": value.cpu() for name, value in tally_of(batch.guard).items()}
    return {"index": batch.index.cpu(), **held, **tally}


def _put_back(before: Columns, batch: Batch, tracker: Tracker) -> None:
    tracker.restore(batch.index, _of("kept", before))
    go_on_from(batch.guard, _of("guard", before))


def _of(kind: str, columns: Columns) -> Columns:
    """Return the columns of a kind, by what follows it in their names."""
    split = ((name.partition(" "), value) for name, value in columns.items())
    return {name: value for (first, _, name), value in split if first == kind}
