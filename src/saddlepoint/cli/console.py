"""Everything that prints: results on stdout, progress and notes on stderr, bars only on a
terminal.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TextIO

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from saddlepoint.progress import Progress as Tick

_EVERY = 10.0  # seconds between two lines of progress where nobody watches


def note(text: str) -> None:
    """Print a line for people on stderr; what would steer the terminal is printed escaped, and a
    stream that is full or closed changes nothing.
    """
    with contextlib.suppress(OSError, ValueError):
        print(_safe(text), file=sys.stderr, flush=True)


def _safe(text: str) -> str:
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def result(value: Any, as_json: bool, show: Callable[[], None]) -> None:
    """Print one JSON document on stdout, or what `show` prints for people."""
    if as_json:
        # A name that is no UTF-8 has lone surrogates, which become what JSON writes for them.
        text = json.dumps(value, indent=2, ensure_ascii=False)
        print(text.encode(errors="backslashreplace").decode())
    else:
        show()


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None) -> None:
    """Print a table on stdout; the first column is text, the others are numbers where they look
    so.
    """
    drawn = Table(title=title, title_justify="left", header_style="bold")
    rows = list(rows)
    for i, column in enumerate(columns):
        numeric = rows and all(row[i][:1].isdigit() or row[i] in ("–", "") for row in rows)
        drawn.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(escape(_safe(cell)) for cell in row))
    width = None if sys.stdout.isatty() else 120
    Console(width=width, highlight=False).print(drawn)


@contextlib.contextmanager
def progress(what: str) -> Iterator[Tick]:
    """Show a bar on stderr while the block runs; nothing where stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield lambda done, total, text: None
        return
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bars:
        task: TaskID = bars.add_task(what, total=None)

        def tick(done: int, total: int, text: str) -> None:
            bars.update(task, completed=done, total=total, description=f"{what}: {text}")

        yield tick


@contextlib.contextmanager
def live(
    rows: Callable[[Any], tuple[str, list[tuple[str, str]]]],
) -> Iterator[Callable[[Any], None]]:
    """Show a table on stderr that follows a state; a line now and then where it is no terminal.

    `rows` makes the headline and the rows of a state.
    """
    if not sys.stderr.isatty():
        said = [time.monotonic()]

        def tell(state: Any) -> None:
            if time.monotonic() - said[0] >= _EVERY:
                said[0] = time.monotonic()
                note(rows(state)[0])

        yield tell
        return
    with Live(console=Console(stderr=True), transient=True, refresh_per_second=4) as screen:

        def draw(state: Any) -> None:
            head, lines = rows(state)
            drawn = Table(title=head, title_justify="left", show_header=False, box=None)
            for line in lines:
                drawn.add_row(*(escape(cell) for cell in line))
            screen.update(drawn)

        yield draw


def plain_warnings() -> None:
    """Print warnings as one line and once, without the place in the code."""

    said: set[str] = set()

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if str(message) not in said:  # every batch would say it again
            said.add(str(message))
            note(f"warning: {message}")

    warnings.showwarning = show
