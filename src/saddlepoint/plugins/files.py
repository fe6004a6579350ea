"""What a Python file of the user holds, by name: `FILE.py:NAME` runs the file."""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from saddlepoint.configuration import source_of, sourced
from saddlepoint.errors import InputError
from saddlepoint.files import fingerprint
from saddlepoint.reading import expanded, read_bytes, shown

_LARGEST = 1 << 26  # bytes of a file of code


def is_file_spec(spec: str) -> bool:
    """Return whether a name is a file of code, and a name in it.

    >>> is_file_spec("mine.py:Attack"), is_file_spec("pgd")
    (True, False)
    """
    return ".py:" in spec or spec.endswith(".py")


def from_file(spec: str) -> Any:
    """Run `FILE.py` and return what it calls NAME; a file that has not changed is run once.

    The file imports its neighbours as it could when run by itself. Everything that it defines is
    told apart by a digest of the file, in every configuration; what it imports is not part of that.
    Raises `InputError` where the file or the name is missing, or running it fails.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "mine.py"
    ...     _ = file.write_text("def double(x): return 2 * x")
    ...     from_file(f"{file}:double")(4)
    8
    """
    path, name = _parted(spec)
    return _attribute(_module(path, afresh=False), name, path)


def from_file_afresh(spec: str) -> Any:
    """Run `FILE.py` again and return what it calls NAME: an object that nobody else holds, drawn
    from the random state of now. As `from_file` in all else.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "mine.py"
    ...     _ = file.write_text("weights = [0.0]")
    ...     from_file_afresh(f"{file}:weights") is from_file_afresh(f"{file}:weights")
    False
    """
    path, name = _parted(spec)
    return _attribute(_module(path, afresh=True), name, path)


def file_source(spec: str) -> str:
    """Return the name of a file of code and the digest of what it holds, without running it.

    Raises `InputError` where it cannot be read.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "mine.py"
    ...     _ = file.write_text("def double(x): return 2 * x")
    ...     file_source(f"{file}:double")
    'mine.py 2250efddf00411f4'
    """
    path = expanded(spec.rpartition(":")[0] or spec)
    return _told(path, read_bytes(path, _LARGEST))


def _parted(spec: str) -> tuple[Path, str]:
    file, _, name = spec.rpartition(":")
    path = expanded(file or spec)
    if not file or not name:
        raise InputError(f"{shown(spec)} names nothing in the file; write {shown(path)}:NAME")
    if not path.is_file():
        raise InputError(f"no file {shown(path)}; give the path of a Python file, then :{name}")
    return path, name


def _told(path: Path, content: bytes) -> str:
    return f"{shown(path.name)} {fingerprint(content)}"


def why(error: BaseException, path: Path | None = None) -> str:
    """Return an error of somebody's code in one line: its kind, its text, and the line of `path`.

    >>> why(KeyError("steps"))
    "KeyError: 'steps'"
    """
    text = " ".join(str(error).split())
    told = f"{type(error).__name__}: {text}" if text else type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    lines = [each.lineno for each in frames if path is not None and each.filename == str(path)]
    return f"{told} (line {lines[-1]})" if lines else told


@contextmanager
def neighbours(folder: Path) -> Iterator[None]:
    """Let code import what lies in `folder` while the block runs.

    >>> with neighbours(Path("no-such-folder")):
    ...     sys.path[0].endswith("no-such-folder")
    True
    """
    entry = str(folder.resolve())
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        sys.path.remove(entry)


def _module(path: Path, *, afresh: bool) -> ModuleType:
    # A private name, so that a file called json.py hides nothing; the module is registered, as
    # dataclasses and pickling look it up there. What the file holds is part of the name: a file
    # that was changed is another module; of one that runs again, the first stays registered.
    content = read_bytes(path, _LARGEST)
    place = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    name = f"_saddlepoint_user_{place}_{fingerprint(content)}"
    known = sys.modules.get(name)
    if known is not None and not afresh:
        return known
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{shown(path)} is not a Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sourced(module, _told(path, content))
    sys.modules.setdefault(name, module)
    try:
        with neighbours(path.parent):
            exec(compile(content, str(path), "exec"), vars(module))
    except BaseException as error:
        if sys.modules.get(name) is module:
            del sys.modules[name]
        if not isinstance(error, Exception | SystemExit):
            raise
        raise InputError(f"{shown(path)} cannot be run: {why(error, path)}") from error
    return module


def _attribute(module: ModuleType, name: str, path: Path) -> Any:
    if hasattr(module, name):
        return getattr(module, name)
    public = [
        key
        for key, value in vars(module).items()
        if key[0] != "_" and callable(value) and source_of(value) == source_of(module)
    ]
    near = difflib.get_close_matches(name, public, n=1, cutoff=0.4)
    hint = f"did you mean '{near[0]}'?" if near else f"it has {', '.join(public) or 'none'}"
    raise InputError(f"{shown(path)} has no '{shown(name)}'; {hint}")
