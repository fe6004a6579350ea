"""SIGINT and SIGTERM as a flag that the loop looks at between two steps."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType


class Interrupted(Exception):  # noqa: N818 - not an error: what was asked for was done
    """Training was asked to stop and stopped, after a checkpoint where it has a folder for one.

    >>> Interrupted(15).signal
    15
    """

    def __init__(self, number: int, saved: bool = True) -> None:
        name = signal.Signals(number).name
        super().__init__(f"stopped by {name}{' after a checkpoint' if saved else ''}")
        self.signal, self.saved = number, saved


@dataclass
class StopFlag:
    """The number of the signal that asked to stop, or 0.

    >>> StopFlag().signal
    0
    """

    signal: int = 0


@contextlib.contextmanager
def stop_on_signals() -> Iterator[StopFlag]:
    """Turn the first SIGINT or SIGTERM into a flag; a second one acts as it did before.

    Outside the main thread, where Python forbids handlers, the flag is never raised.

    >>> with stop_on_signals() as stop:
    ...     stop.signal
    0
    """
    flag = StopFlag()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: FrameType | None) -> None:
        flag.signal = number
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, note)
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
