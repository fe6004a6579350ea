"""Writing files so that a reader never sees half of one.

Everything the project writes goes through `write`: the bytes go to a temporary name beside the
target, are flushed to the disk, and are renamed over it. A write that fails (a full disk, a limit,
a missing right) leaves the old file, if any, as it was, and removes the temporary one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saddlepoint.errors import OutputError


def write(path: Path, content: bytes | str) -> Path:
    """Write `content` to `path`, all of it or nothing; return the path.

    Raises `OutputError` where the disk refuses; what `path` held before is then unchanged.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(Path(folder) / "note.txt", "kept").read_text()
    'kept'
    """
    # A name that is no UTF-8 has lone surrogates, which become what JSON writes for them.
    data = content.encode(errors="backslashreplace") if isinstance(content, str) else content
    temporary = temporary_name(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {reason(error)}") from error
    finally:  # also after an interruption; a file that was renamed is no longer there
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return path


def temporary_name(path: Path) -> Path:
    """Return a name beside `path` for what is not whole yet; `sweep` knows it by its form.

    >>> is_temporary(temporary_name(Path("runs/result.json")))
    True
    """
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")


def is_temporary(path: Path) -> bool:
    """Return whether `path` bears a name that `temporary_name` gives.

    >>> is_temporary(Path("runs/result.json"))
    False
    """
    return re.fullmatch(r"\..+\.[0-9a-f]{8}\.tmp", path.name) is not None


def sweep(folder: Path) -> None:
    """Remove what a killed process left unfinished in `folder`, which nobody else may be writing.

    >>> sweep(Path("no-such-folder"))
    """
    for path in folder.glob(".*.tmp"):
        if is_temporary(path):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    path.unlink()


def write_json(path: Path, value: Any) -> Path:
    """Write `value` as indented JSON; see `write`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     json.loads(write_json(Path(folder) / "a.json", {"eps": 0.5}).read_text())
    {'eps': 0.5}
    """
    return write(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def fingerprint(value: bytes | Mapping[str, Any]) -> str:
    """Return 16 hexadecimal digits that identify bytes or a JSON mapping, whatever its order.

    >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    True
    """
    if not isinstance(value, bytes):
        value = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.sha256(value).hexdigest()[:16]


def reason(error: OSError) -> str:
    """Return the short reason of an operating-system error.

    >>> reason(FileNotFoundError(2, "No such file or directory"))
    'No such file or directory'
    """
    return error.strerror or str(error) or type(error).__name__
