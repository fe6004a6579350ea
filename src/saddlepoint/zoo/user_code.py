"""Networks from the user's own file: `path/to/file.py:callable`."""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from saddlepoint.errors import InputError
from saddlepoint.reading import expanded, shown


def build_user(spec: str, *, classes: int, shape: tuple[int, ...]) -> nn.Module:
    """Run `FILE.py` and return the network that its `callable` makes.

    The callable, a function or a class, is given those of `classes` (or `num_classes`),
    `channels` (or `in_channels`), `size` (a side, or (H, W)) and `shape` (C, H, W) that its
    signature names. A finished network of that name is taken as it is. Raises `InputError` where
    the file or the callable is missing, fails, or makes something else.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "mine.py"
    ...     lines = ("from torch import nn", "def net(classes): return nn.Linear(2, classes)")
    ...     _ = file.write_text("\\n".join(lines))
    ...     build_user(f"{file}:net", classes=3, shape=(1, 1, 2))
    Linear(in_features=2, out_features=3, bias=True)
    """
    file, _, name = spec.rpartition(":")
    path = expanded(file or spec)
    if not file or not name:
        raise InputError(f"{spec} names no callable; write {path}:NAME")
    if not path.is_file():
        raise InputError(f"no file {shown(path)}; give the path of a Python file, then :{name}")
    with _importable(path.parent):
        found = _attribute(_executed(path), name, path)
        if isinstance(found, nn.Module):
            return found
        if not callable(found):
            raise InputError(f"{name} in {path} is {_a(found)}, not a callable that makes a model")
        made = _called(found, spec, classes, shape)
    if not isinstance(made, nn.Module):
        raise InputError(f"{spec} returned {_a(made)}; return a torch.nn.Module")
    return made


def _executed(path: Path) -> ModuleType:
    # A private name, so that a file called json.py hides nothing; the module is registered, as
    # dataclasses and pickling look it up there.
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    name = f"_saddlepoint_user_{digest}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} is not a Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        sys.modules.pop(name, None)
        raise InputError(f"{path} cannot be run: {_what(error)}") from error
    return module


def _attribute(module: ModuleType, name: str, path: Path) -> Any:
    if hasattr(module, name):
        return getattr(module, name)
    public = [key for key, value in vars(module).items() if callable(value) and key[0] != "_"]
    near = difflib.get_close_matches(name, public, n=1, cutoff=0.4)
    hint = f"did you mean '{near[0]}'?" if near else f"it has {', '.join(public) or 'none'}"
    raise InputError(f"{path} has no callable '{name}'; {hint}")


def _called(build: Callable[..., Any], spec: str, classes: int, shape: tuple[int, ...]) -> object:
    offered: dict[str, Any] = {"classes": classes, "num_classes": classes, "shape": shape}
    if len(shape) == 3:
        channels, height, width = shape
        offered |= {"channels": channels, "in_channels": channels}
        offered["size"] = height if height == width else (height, width)
    try:
        parameters = inspect.signature(build).parameters.values()
    except (TypeError, ValueError):
        parameters = {}.values()  # built-ins without a signature are called without arguments
    named = [
        each for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
    ]
    for each in named:
        if each.default is each.empty and each.name not in offered:
            raise InputError(
                f"{spec} needs the argument '{each.name}', which is not known here; give it a "
                "default (known: classes, channels, size, shape)"
            )
    try:
        return build(**{each.name: offered[each.name] for each in named if each.name in offered})
    except (Exception, SystemExit) as error:
        raise InputError(f"{spec} failed: {_what(error)}") from error


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Let the file import its neighbours, as it could when run by itself."""
    entry = str(folder.resolve())
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        sys.path.remove(entry)


def _what(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _a(value: object) -> str:
    return f"a {type(value).__name__}"
