"""The standard streams, which may be closed, full or a pipe that nobody reads any more."""

from __future__ import annotations

import contextlib
import errno
import os
import sys

from saddlepoint.cli.console import note

_OF_A_STREAM = (errno.ENOSPC, errno.EBADF, errno.EIO, errno.EDQUOT, errno.EFBIG)
CLOSED_PIPE = 128 + 13
"""The status of a tool that SIGPIPE ends."""


def occupy() -> None:
    """Put something in the place of standard streams that are closed.

    Otherwise the next file that is opened takes the place, and what a library prints goes into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is this one. What is written to an input fails, as it should.
            os.open(os.devnull, os.O_RDONLY if number < 2 else os.O_WRONLY)
    if sys.stdout is None:  # closed from the beginning: writing to it is an error, as for any tool
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - it stays open
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def flushed(status: int) -> int:
    """Write out what is still to be printed; return the status, or that of the failure."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        return failed(error) if isinstance(error, OSError) and status == 0 else status
    return status


def of_a_stream(error: BaseException) -> bool:
    """Return whether an error is one of the standard streams, and of no file."""
    if isinstance(error, BrokenPipeError):
        return True
    return isinstance(error, OSError) and error.filename is None and error.errno in _OF_A_STREAM


def failed(error: OSError) -> int:
    """Return the status of an error of a standard stream, after saying what it was."""
    _silence()
    if isinstance(error, BrokenPipeError):
        return CLOSED_PIPE
    why = error.strerror or type(error).__name__
    note(f"error: cannot write to the standard output: {why}; results in files are kept")
    return 2


def _silence() -> None:
    """Let what is left in the buffer of the standard output go nowhere, without a complaint."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
