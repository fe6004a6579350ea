"""What is seen of a command at work, on stderr: a bar on a terminal, elsewhere a line a minute."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from saddlepoint.progress import Tick

_EVERY = 60.0  # seconds between two lines where nobody watches
_FRAMES = 5  # a second

Rows = Sequence[tuple[str, str]]


class Display:
    """Shows the newest tick of a command; a thread of its own draws it, and no work waits for it.

    Args:
        note: prints a line on stderr where it is no terminal.
    """

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._title, self._tick = "starting", Tick(what="")
        self._rows: Rows = ()
        self._passes = 0  # over images, that no tick has told of
        self._began = self._told = self._said = time.monotonic()
        self._unsaid = ""
        self._spinner = Spinner("dots")
        self._live: Live | None = None

    def __enter__(self) -> Self:
        console = Console(stderr=True)
        if sys.stderr.isatty() and not console.is_dumb_terminal:
            self._live = Live(
                console=console,
                get_renderable=self._picture,
                refresh_per_second=_FRAMES,
                transient=True,
            )
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar away: what follows is a result."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def begin(self, title: str) -> None:
        """Say what the command does now."""
        self._title, self._tick, self._rows = title, Tick(what=""), ()
        self._began, self._passes = time.monotonic(), 0

    def progress(self, tick: Tick, rows: Rows = ()) -> None:
        """Show a tick, with rows on what is at work beside it."""
        self._tick, self._rows, self._told = tick, rows, time.monotonic()
        if self._live is not None:
            if tick.ended:
                self._live.console.print(Text(printable(tick.ended)))
            return
        self._unsaid = tick.ended or self._unsaid
        if self._told - self._said >= _EVERY:
            self._said = self._told
            self._note(f"{self._title}: {self._unsaid or self._state()}")
            self._unsaid = ""

    def passed(self, rows: int) -> None:
        """Take note of a pass that nobody else watches."""
        self._passes += rows

    def _state(self) -> str:
        parts = [f"{100 * self._tick.share:.0f} %", self._left(), self._details()]
        return ", ".join(part for part in parts if part)

    def _details(self) -> str:
        tick = self._tick
        parts = []
        if tick.total:
            parts.append(f"{tick.done:,} of {tick.total:,} {tick.unit}")
        if tick.step:
            parts.append(f"step {tick.step:,}" + (f" of {tick.steps:,}" if tick.steps else ""))
        if tick.robust_accuracy is not None:
            parts.append(f"{100 * tick.robust_accuracy:.2f} % robust so far")
        if self._passes and not tick.step:
            parts.append(f"{self._passes:,} images passed")
        return f"{tick.what}{': ' if tick.what and parts else ''}{', '.join(parts)}"

    def _left(self) -> str:
        if self._tick.seconds_left is None:
            return ""
        # Between two ticks the estimate runs on.
        left = self._tick.seconds_left - (time.monotonic() - self._told)
        return f"{clock(max(left, 0.0))} left"

    def _picture(self) -> RenderableType:
        known = self._tick.seconds_left is not None
        bar = ProgressBar(total=1.0 if known else None, completed=self._tick.share, pulse=not known)
        share = f"{100 * self._tick.share:.1f} %" if known else ""
        times = ", ".join(filter(None, (clock(time.monotonic() - self._began), self._left())))
        line = Table.grid(padding=(0, 1), expand=True)
        for ratio in (None, None, 1, None, None):
            line.add_column(ratio=ratio, no_wrap=True)
        line.add_row(self._spinner, Text(self._title), bar, Text(share), Text(times))
        lines: list[RenderableType] = [line]
        if details := self._details():
            lines.append(Text("  " + printable(details), no_wrap=True, overflow="ellipsis"))
        if self._rows:
            below = Table.grid(padding=(0, 2))
            for row in self._rows:
                below.add_row("", *(Text(printable(cell)) for cell in row))
            lines.append(below)
        return Group(*lines)


_DISPLAY: ContextVar[Display | None] = ContextVar("display", default=None)


@contextlib.contextmanager
def displayed(note: Callable[[str], None]) -> Iterator[Display]:
    """Return the display of the command at work; one of its own where there is none."""
    before = _DISPLAY.get()
    if before is not None:
        yield before
        return
    with Display(note) as shown:
        token = _DISPLAY.set(shown)
        try:
            yield shown
        finally:
            _DISPLAY.reset(token)


def close_display() -> None:
    """Take the bar of the command away, if there is one."""
    shown = _DISPLAY.get()
    if shown is not None:
        shown.close()


def printable(text: str) -> str:
    """Return the text with what would steer a terminal escaped.

    >>> printable("a\x1b[2J")
    'a\\\\x1b[2J'
    """
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def clock(seconds: float) -> str:
    """Return a time as a clock shows it.

    >>> clock(7.4), clock(3671)
    ('0:07', '1:01:11')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
