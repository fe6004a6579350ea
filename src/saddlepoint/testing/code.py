"""Code as it is compiled: its instructions, the globals it names, and whose it is."""

from __future__ import annotations

import hashlib
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

# In the keys of a cache saddlepoint goes by its version and by its numerics.
_ROOTS = frozenset(("builtins", "torch", "numpy", "saddlepoint", *sys.stdlib_module_names))


def installed(module: str | None) -> bool:
    """Return whether a module, by its name, is of an installed package rather than of the user.

    >>> installed("torch.nn"), installed("no_module_of_mine")
    (True, False)
    """
    root = str(module).partition(".")[0]
    if root in _ROOTS:
        return True
    file = getattr(sys.modules.get(str(module)), "__file__", None)
    if file is None:
        return False
    place = Path(file).resolve()
    paths = (sysconfig.get_path(name) for name in ("purelib", "platlib"))
    return any(place.is_relative_to(Path(path).resolve()) for path in paths)


def instructions(code: CodeType) -> list[Any]:
    """Return what a piece of code does, whatever its comments, its file and its line.

    >>> one, other = (compile("x + 1", file, "eval") for file in ("a.py", "b.py"))
    >>> instructions(one) == instructions(other) != instructions(compile("x + 2", "a.py", "eval"))
    True
    """
    return [
        code.co_code.hex(),
        code.co_exceptiontable.hex(),
        [list(map(str, names)) for names in (code.co_names, code.co_varnames, code.co_freevars)],
        [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags],
        [_constant(each) for each in code.co_consts],
    ]


def _constant(value: Any) -> Any:
    if isinstance(value, CodeType):
        return instructions(value)
    if isinstance(value, tuple):
        return [_constant(each) for each in value]
    if isinstance(value, frozenset):  # whose order differs from process to process
        return sorted(repr(_constant(each)) for each in value)
    return [type(value).__name__, repr(value)]


def named_globals(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield the globals that a function's code names, functions within it included, and their values.

    >>> [name for name, _ in named_globals(named_globals)]
    ['_names']
    """
    for name in sorted(_names(function.__code__)):
        if name in function.__globals__:
            yield name, function.__globals__[name]


def _names(code: CodeType) -> set[str]:
    inner = (_names(each) for each in code.co_consts if isinstance(each, CodeType))
    return set(code.co_names).union(*inner)


def file_digest(module: ModuleType) -> str | None:
    """Return the digest of the file that a module was read from; None where there is none.

    >>> len(file_digest(sys.modules[__name__]))
    64
    """
    try:
        return hashlib.sha256(Path(module.__file__ or "").read_bytes()).hexdigest()
    except OSError:
        return None
