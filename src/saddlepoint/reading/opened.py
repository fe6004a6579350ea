"""How every file is opened, named and bounded."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from saddlepoint.errors import InputError
from saddlepoint.files import reason

_ALWAYS = 1 << 28  # bytes that a file may always become once it is decoded
_RATIO = 100  # beyond that, so many times its size: JPEG and digits stay below 50
_NAME = 300  # characters that are shown of a name out of a file

_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def shown(name: object) -> str:
    """Return a name as text of one line, whatever it holds: what cannot be printed is escaped.

    >>> shown("red"), shown("two\\nlines")
    ('red', "'two\\\\nlines'")
    """
    text = os.fspath(name) if isinstance(name, Path) else str(name)
    if len(text) > _NAME and not isinstance(name, Path):
        text = f"{text[:_NAME]}…"
    return text if text.isprintable() else ascii(text)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[io.BufferedReader]:
    """Open a regular file for reading while the block runs; nothing else is waited for.

    Raises `InputError` for a pipe, a device or a folder, and where the system refuses.

    >>> with opened(Path("no-such-file")):
    ...     pass
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: cannot read no-such-file: No such file or directory
    """
    name = shown(path)
    # Without O_NONBLOCK opening a pipe waits for somebody to write into it.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(path, flags)
    except OSError as error:
        link = path.is_symlink() and isinstance(error, FileNotFoundError)
        why = "it is a link to nothing" if link else reason(error)
        raise InputError(f"cannot read {name}: {why}") from error
    except ValueError as error:  # a zero in the name
        raise InputError(f"cannot read {name}: no file has this name") from error
    try:
        kind = os.fstat(handle).st_mode
        if not stat.S_ISREG(kind):
            what = next((text for test, text in _KINDS if test(kind)), "no file")
            raise InputError(f"cannot read {name}: Is {what}")
        file = os.fdopen(handle, "rb", closefd=False)
        with file:
            yield file
    finally:
        os.close(handle)


@contextlib.contextmanager
def decoding(name: object, kind: str) -> Iterator[None]:
    """Turn whatever the block raises into an `InputError` that says what `name` is not.

    Decoders raise nearly everything, and some written in Rust what is no `Exception`.

    >>> with decoding("a.npz", "a whole .npz archive"):
    ...     b""[1]
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: a.npz is not a whole .npz archive: index out of range
    """
    try:
        yield
    except (InputError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except MemoryError as error:
        raise InputError(f"{shown(name)} needs more memory than there is") from error
    except RecursionError as error:
        raise InputError(f"{shown(name)} is not {kind}: it is nested too deeply") from error
    except BaseException as error:
        if isinstance(error, OSError) and error.strerror:
            raise InputError(f"cannot read {shown(name)}: {error.strerror}") from error
        raise InputError(f"{shown(name)} is not {kind}: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or its kind where it has none.

    >>> first_line(KeyError()), first_line(ValueError("one\\ntwo"))
    ('KeyError', 'one')
    """
    lines = str(error).strip().splitlines()
    return shown(lines[0]) if lines else type(error).__name__


def expanded(path: Path | str) -> Path:
    """Return a path with `~` as the home directory, unchanged where nobody has one of this name.

    >>> expanded("~no-such-user/a").name, expanded("a/b").as_posix()
    ('a', 'a/b')
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def read_bytes(path: Path, most: int) -> bytes:
    """Return what a file holds; raises `InputError` where that is more than `most` bytes.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a"
    ...     _ = path.write_bytes(b"abc")
    ...     read_bytes(path, 3)
    b'abc'
    """
    with opened(path) as file, decoding(path, "a whole file"):
        if file.seek(0, os.SEEK_END) > most:
            raise InputError(f"{shown(path)} is larger than {_size(most)}, which no such file is")
        file.seek(0)
        return file.read()


def file_digest(path: Path) -> str:
    """Return 16 hexadecimal digits of a file's content.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "a").write_bytes(b"")
    ...     file_digest(Path(folder) / "a")
    'e3b0c44298fc1c14'
    """
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def check_inflated(name: object, declared: int, size: int) -> None:
    """Raise `InputError` where `declared` bytes are too many to come out of a file of `size`.

    256 MiB always may, and a hundred times the file's size; also, all of it must fit in memory.

    >>> check_inflated("bomb.npz", 10**10, 10**7)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: bomb.npz (10.0 MB) would become 10.0 GB, more than 100 times \
its size; it is refused
    """
    if declared > max(_ALWAYS, _RATIO * size):
        raise InputError(
            f"{shown(name)} ({_size(size)}) would become {_size(declared)}, more than {_RATIO} times"
            " its size; it is refused"
        )
    check_fits(name, declared)


def check_fits(name: object, nbytes: int) -> None:
    """Raise `InputError` where `nbytes` are more than the machine's memory.

    >>> check_fits("the images of a.npz", 10**18)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: the images of a.npz would take 1,000,000.0 TB of memory, ...
    """
    there = _memory()
    if there is not None and nbytes > there:
        raise InputError(
            f"{shown(name)} would take {_size(nbytes)} of memory, and this machine has"
            f" {_size(there)}"
        )


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not every system says
        return None


def _size(nbytes: int) -> str:
    value = float(nbytes)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} TB" if value < 1e9 else f"{value:.3g} TB"
