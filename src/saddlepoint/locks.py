"""Locks of the system: held by a process, and freed by the system however that process ends."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from saddlepoint.errors import OutputError
from saddlepoint.files import reason


@contextlib.contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold the lock that the file `path` stands for while the block runs; False where another
    process, or another part of this one, holds it.

    The file is removed at the end; a process that is killed leaves it behind, unlocked. Raises
    `OutputError` where it cannot be made.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, ".lock")
    ...     with locked(path) as mine, locked(path) as again:
    ...         mine, again
    ...     path.exists()
    (True, False)
    False
    """
    lock = FileLock(path)
    try:
        mine = _acquired(lock, path)
    except (OSError, RuntimeError) as error:  # the latter from file systems without locks
        why = reason(error) if isinstance(error, OSError) else str(error)
        raise OutputError(f"cannot write in {path.parent}: {why}") from error
    if not mine:
        yield False
        return
    try:
        yield True
    finally:
        with contextlib.suppress(OSError):  # while it is held: nobody's lock but ours is removed
            path.unlink(missing_ok=True)
        lock.release()


def _acquired(lock: FileLock, path: Path) -> bool:
    """Take the lock on the file that bears the name, not on one that its holder has just removed."""
    while True:
        before = _inode(path, create=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return False
        # The number of a file that is open is not given to another: the same before and after is
        # the one that is locked.
        if before is not None and _inode(path) == before:
            return True
        lock.release()


def _inode(path: Path, create: bool = False) -> int | None:
    if create:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o666))
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None
