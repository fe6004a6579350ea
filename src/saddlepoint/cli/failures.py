"""What an exception means to whoever ran a command: a line, a kind, and an exit status."""

from __future__ import annotations

import itertools
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from saddlepoint.configuration import source_of
from saddlepoint.errors import InputError, OutputError
from saddlepoint.plugins import why
from saddlepoint.reading import shown


@dataclass(frozen=True)
class Failure:
    """A command that did not do its work.

    Attributes:
        message: one or two lines: what was seen, what to do.
        kind: "input", "usage" (an option), "output" (a file that cannot be written), "memory",
            "unfinished", "stopped" or "internal".
        status: of the exit.
        done: what the command has done all the same, for `--json`.

    >>> Failure("eps is -1", "input").json()
    {'error': {'message': 'eps is -1', 'kind': 'input', 'exit_code': 2}}
    """

    message: str
    kind: str
    status: int = 2
    done: Mapping[str, Any] = field(default_factory=dict)

    def json(self) -> dict[str, Any]:
        """Return the failure as JSON values, with what was done."""
        error = {"message": self.message, "kind": self.kind, "exit_code": self.status}
        return {**self.done, "error": error}


class UnfinishedError(InputError):
    """Some of what was asked for could not be done; `done` tells of the rest."""

    def __init__(self, message: str, done: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.done = done


def failure_of(error: BaseException, arguments: Sequence[str]) -> Failure | None:
    """Return what an exception means that is no fault of the program; None for one that is."""
    kind = type(error).__name__
    if isinstance(error, UnfinishedError):
        return Failure(str(error), "unfinished", done=error.done)
    if isinstance(error, InputError):
        return Failure(str(error), "output" if isinstance(error, OutputError) else "input")
    if isinstance(error, KeyboardInterrupt) or kind == "Abort":  # the older option parsers'
        kept = "; what is done is kept, and the same command goes on" if _resumes(arguments) else ""
        return Failure(f"stopped{kept}", "stopped", 130)
    if hasattr(error, "format_message"):  # the option parser's: an unknown option, no value …
        return Failure(f"{error.format_message()}{_seen(error, arguments)}", "usage")
    if hasattr(error, "signal"):  # training stopped
        saved = getattr(error, "saved", False)
        message = f"{error}; go on with --resume" if saved else str(error)
        return Failure(message, "stopped", 128 + int(error.signal))
    if isinstance(error, OSError):
        # A name too long, a lost right …
        what = "" if error.filename is None else f"cannot use {shown(error.filename)}: "
        return Failure(f"{what}{error.strerror or kind}", "output")
    if kind == "OutOfMemoryError":
        return Failure("the device is out of memory; lower --batch-size", "memory")
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        return Failure("there is not enough memory; lower --batch-size or --limit", "memory")
    return plugin_failure(error)


def plugin_failure(error: BaseException) -> Failure | None:
    """Return what an exception that came through somebody's plug-in means; None where none had a
    part in it.
    """
    for frame, line in reversed([*traceback.walk_tb(error.__traceback__)]):
        source = source_of(sys.modules.get(str(frame.f_globals.get("__name__"))))
        if source is not None:
            what = f"{source.partition(' ')[0]}: {why(error)}"
            place = f"{frame.f_code.co_name}, line {line}; --debug shows more"
            return Failure(f"{what} (in {place})", "input")
    return None


def _resumes(arguments: Sequence[str]) -> bool:
    return any(word in ("evaluate", "attack", "study") for word in arguments[:2])


def _seen(error: Any, arguments: Sequence[str]) -> str:
    """Return what was given for the option that the parser complains of, where it does not say."""
    for name in getattr(getattr(error, "param", None), "opts", ()):
        for word, after in itertools.pairwise((*arguments, "")):
            option, equals, value = word.partition("=")
            given = value if equals else after
            if option == name and given and given not in error.format_message():
                return f"; it is {given[:60]}"
    return ""
