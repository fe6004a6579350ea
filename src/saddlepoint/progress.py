"""Progress: what long work tells its caller, and how it hears of every pass; nothing here prints.

Work that takes a `progress` calls it with a `Tick`: whenever a piece is done, and in between at most
every tenth of a second. What happens within a piece is known from the passes of the model. The guard
says of each that it was made (`passed`), to whoever watches at that moment (`watched_by`). So every
attack, wrapped or foreign, tells its steps without knowing of it, and nothing waits: a pass costs its
watcher a look at the clock.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Collection, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, TypeVar

EVERY = 0.1  # seconds between two ticks within a piece of work


@dataclass(frozen=True, kw_only=True)
class Tick:
    """How far long work is.

    Attributes:
        what: is being done, such as "Linf 8/255, apgd" or "epoch 3".
        done, total: of what is at hand, in `unit`: images that the attack is through with, of those
            that stood when it began; steps of a training; figures of a report.
        step, steps: passes of the loop over the batch at hand, and how many it takes as a rule; 0
            where there is no such loop.
        share: of the whole work, 0 to 1: an estimate, from what was seen of it so far.
        seconds_left: likewise; None before there is anything to tell it from.
        attack, threat: at work in an evaluation.
        robust_accuracy: of the images seen so far at this budget, after the last attack that ended.
        forwards, backwards: passes over images in the results so far.
        ended: a line on what has ended with this tick, an attack or an epoch; "" as a rule.

    >>> Tick(what="decoding", done=5, total=20, share=0.25).unit
    'images'
    """

    what: str
    done: int = 0
    total: int = 0
    unit: str = "images"
    step: int = 0
    steps: int = 0
    share: float = 0.0
    seconds_left: float | None = None
    attack: str = ""
    threat: str = ""
    robust_accuracy: float | None = None
    forwards: int = 0
    backwards: int = 0
    ended: str = ""


Progress = Callable[[Tick], None]
"""What takes the ticks of long work; whatever it raises stops the work."""


class Watcher(Protocol):
    """Who is told of every pass.

    >>> watcher: Watcher = Meter(print, 3, "steps")
    """

    @property
    def progress(self) -> Progress:
        """What takes its ticks."""

    def passed(self, rows: int) -> None:
        """Take note of a pass over so many images; 0 is a part of one."""


class TimeUp(BaseException):
    """The time that was given is over; like an interrupt, it is no error of the work.

    >>> issubclass(TimeUp, Exception)
    False
    """


# What is watched changes no result, and `watched_by` puts back what was there.
_WATCHER: ContextVar[Watcher | None] = ContextVar("watcher", default=None)
_DEADLINE: ContextVar[float] = ContextVar("deadline", default=math.inf)
_Item = TypeVar("_Item")


@contextlib.contextmanager
def until(deadline: float | None) -> Iterator[None]:
    """Let the work in the block raise `TimeUp` at its first pass after a time of `time.monotonic`;
    None is never.

    >>> with contextlib.suppress(TimeUp), until(time.monotonic() - 1):
    ...     passed(128)
    ...     print("this is not reached")
    """
    token = _DEADLINE.set(math.inf if deadline is None else deadline)
    try:
        yield
    finally:
        _DEADLINE.reset(token)


@contextlib.contextmanager
def watched_by(watcher: Watcher) -> Iterator[None]:
    """Let the watcher hear of every pass in the block; who watched before hears of none.

    >>> seen = []
    >>> with watched_by(Meter(seen.append, 3, "steps")):
    ...     passed(128)
    >>> seen[0].step
    1
    """
    token = _WATCHER.set(watcher)
    try:
        yield
    finally:
        _WATCHER.reset(token)


def passed(rows: int) -> None:
    """Say that the model has seen so many images, which waits for no device; raise `TimeUp` where the
    time that is given for it is over.

    >>> passed(128)
    """
    deadline = _DEADLINE.get()
    if deadline < math.inf and time.monotonic() > deadline:
        raise TimeUp
    watcher = _WATCHER.get()
    if watcher is not None:
        watcher.passed(rows)


class Meter:
    """Tells of work in pieces of one kind, whose number is known.

    Args:
        progress: is told; None is nobody, and nothing is watched.
        total: pieces in all; 0 where nobody knows.
        unit: what they are.
        what: is done with them.

    >>> meter = Meter(lambda tick: print(tick.done, tick.total, tick.share), 4, "figures")
    >>> meter.add()
    1 4 0.25
    """

    def __init__(self, progress: Progress | None, total: int, unit: str, what: str = "") -> None:
        self.progress: Progress = progress or (lambda tick: None)
        self._watches = progress is not None
        self.total, self.unit, self.what = total, unit, what
        self.begin(0)
        self._told = 0.0
        self._passes = self._usual = 0  # of the piece at work, and of the one before
        self._size = 1  # how much of the whole that one was

    def begin(self, done: int) -> None:
        """Begin to measure the time, with so many pieces done before."""
        self.done = self._begun = done
        self._began = time.monotonic()

    def watching(self) -> contextlib.AbstractContextManager[None]:
        """Return the context in which this meter hears of the passes, if anybody is told."""
        return watched_by(self) if self._watches else contextlib.nullcontext()

    def add(self, count: int = 1, ended: str = "") -> None:
        """Tell that so many pieces more are done."""
        self.done += count
        self._usual, self._passes, self._size = self._passes, 0, count
        self._tell(ended)

    def passed(self, rows: int) -> None:
        """Take note of a pass within a piece, and tell of it now and then."""
        self._passes += rows > 0
        if time.monotonic() - self._told >= EVERY:
            self._tell()

    def say(self, what: str, ended: str = "") -> None:
        """Tell what is done now; passes of what was done before count no longer."""
        self.what, self._passes = what, 0
        self._tell(ended)

    def _tell(self, ended: str = "") -> None:
        self._told = now = time.monotonic()
        # A piece takes as many passes as the one before; of the first that is not known.
        within = min(self._passes / (self._usual + 1), 0.99) if self._usual else 0.0
        done = self.done + self._size * within
        made, left = done - self._begun, self.total - done
        known = self.total > 0 and made > 0
        self.progress(
            Tick(
                what=self.what,
                done=self.done,
                total=self.total,
                unit=self.unit,
                step=self._passes,
                steps=max(self._usual, self._passes) if self._usual and self._passes else 0,
                share=min(done / self.total, 1.0) if self.total else 0.0,
                seconds_left=max(left, 0.0) * (now - self._began) / made if known else None,
                ended=ended,
            )
        )


def counted(items: Collection[_Item], unit: str, what: str = "") -> Iterator[_Item]:
    """Yield the items, and tell whoever watches, if anybody does, how many are done.

    >>> seen = []
    >>> with watched_by(Meter(seen.append, 0, "passes")):
    ...     list(counted("abc", "letters"))
    ['a', 'b', 'c']
    >>> [tick.done for tick in seen]
    [0, 1, 2, 3]
    """
    watcher = _WATCHER.get()
    if watcher is None:
        yield from items
        return
    meter = Meter(watcher.progress, len(items), unit, what)
    meter.say(what)
    for item in items:
        with watched_by(meter):
            yield item
        meter.add()


class Course:
    """Joins the ticks of works that follow each other into those of one.

    Args:
        progress: is told; None is nobody.
        count: of the works, which are taken to be of one length until their times are known.

    >>> course = Course(lambda tick: print(tick.what, tick.share), 4)
    >>> for name in ("first", "second"):
    ...     told = course.next(name)
    >>> told(Tick(what="step 1", share=0.5))
    second, step 1 0.375
    """

    def __init__(self, progress: Progress | None, count: int) -> None:
        self._progress, self._count, self._begun = progress, count, 0
        self._began = time.monotonic()

    def next(self, name: str) -> Progress | None:
        """Return what is told of the next work."""
        self._begun += 1
        if self._progress is None:
            return None
        return partial(self._tell, self._progress, name, self._begun - 1)

    def _tell(self, progress: Progress, name: str, number: int, tick: Tick) -> None:
        share = (number + tick.share) / self._count
        spent, left = time.monotonic() - self._began, tick.seconds_left
        if share > 0:
            left = max(left or 0.0, spent * (1 - share) / share)
        ended = tick.ended and f"{name}, {tick.ended}"
        what = f"{name}, {tick.what}"
        progress(replace(tick, what=what, share=share, seconds_left=left, ended=ended))
