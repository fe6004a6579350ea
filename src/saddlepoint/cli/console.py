"""Everything that prints: results on stdout, progress and notes on stderr, bars only on a
terminal.
"""

from __future__ import annotations

import contextlib
import functools
import json
import shlex
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, ParamSpec, TextIO

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from saddlepoint.cli.display import close_display, displayed, printable
from saddlepoint.progress import Progress, watched_by
from saddlepoint.tables import Table as Tabled

_Given = ParamSpec("_Given")


def note(text: str) -> None:
    """Print a line for people on stderr; what would steer the terminal is printed escaped, and a
    stream that is full or closed changes nothing.
    """
    with contextlib.suppress(OSError, ValueError):
        print(printable(text), file=sys.stderr, flush=True)


_COMMAND: ContextVar[str] = ContextVar("command", default="")


@contextlib.contextmanager
def typed(arguments: Sequence[str]) -> Iterator[None]:
    """Let `command_line` know what was typed while the block runs."""
    token = _COMMAND.set(shlex.join(["saddlepoint", *arguments]))
    try:
        yield
    finally:
        _COMMAND.reset(token)


def command_line() -> str:
    """Return the command that is at work, as it was typed; "" outside one."""
    return _COMMAND.get()


# The stream for JSON documents while everything else that prints goes to stderr; None at other times.
_DOCUMENTS: ContextVar[TextIO | None] = ContextVar("documents", default=None)


@contextlib.contextmanager
def documents_apart() -> Iterator[None]:
    """Let stdout have JSON documents alone while the block runs: what code of the user prints goes to
    stderr.
    """
    token = _DOCUMENTS.set(sys.stdout)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        _DOCUMENTS.reset(token)


def result(value: Any, as_json: bool, show: Callable[[], None]) -> None:
    """Print one JSON document on stdout, or what `show` prints for people."""
    close_display()
    if as_json:
        # A name that is no UTF-8 has lone surrogates, which become what JSON writes for them.
        text = json.dumps(value, indent=2, ensure_ascii=False)
        document = text.encode(errors="backslashreplace").decode()
        print(document, file=_DOCUMENTS.get() or sys.stdout)
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
        drawn.add_row(*(escape(printable(cell)) for cell in row))
    width = None if sys.stdout.isatty() else 120
    Console(width=width, highlight=False).print(drawn)


def tables(drawn: Iterable[Tabled]) -> None:
    """Print tables on stdout, each with its notes below it."""
    for each in drawn:
        table(each.columns, each.rows, title=each.title)
        for line in each.notes:
            print(f"note: {printable(line)}")


@contextlib.contextmanager
def progress(what: str) -> Iterator[Progress]:
    """Show on stderr how far the block is; see `Display`."""
    with displayed(note) as shown:
        shown.begin(what)
        with watched_by(shown):
            yield shown.progress
        shown.begin("working")


def at_work(command: Callable[_Given, None]) -> Callable[_Given, None]:
    """Return a command that shows from its beginning that it works."""

    @functools.wraps(command)
    def run(*given: _Given.args, **named: _Given.kwargs) -> None:
        with displayed(note):
            command(*given, **named)

    return run


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
