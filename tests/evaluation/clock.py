"""A clock that goes on with the passes of the model, so that a limit of the time cuts at a known one."""

from __future__ import annotations

from types import SimpleNamespace

from saddlepoint import progress
from saddlepoint.evaluation import limits


class Clock:
    """Counts the times that it is looked at: about one second a pass.

    Args:
        at: when it acts.
    """

    def __init__(self, at=None, act=None):
        self.now, self.at, self.act = 0, at, act

    def monotonic(self):
        self.now += 1
        if self.now == self.at:
            self.act()
        return float(self.now)


def install(at=None, act=None):
    """Let progress and limits look at a new clock; return what puts the old one back."""
    before = progress.time, limits.time
    clock = Clock(at, act)
    progress.time = limits.time = SimpleNamespace(monotonic=clock.monotonic)

    def back():
        progress.time, limits.time = before

    return back
