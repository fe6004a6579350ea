"""Configurations as plain JSON: what identifies a run, and how two of them differ."""

from __future__ import annotations

import dataclasses
import functools
import math
import sys
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from types import ModuleType
from typing import Any, TypeVar


def configuration(value: Any) -> Any:
    """Return a configuration (nested dataclasses, mappings, sequences, numbers) as JSON values.

    A dataclass becomes a mapping with its type's name and all its fields, defaults included. A
    function is named by its module and name; another callable (a penalty, a transform) by its type
    and those of its public attributes that are plain values. Whatever has an `__identity__` of its
    own goes by that, wherever it has moved since and whatever it is called now: addresses of
    results hold these names.

    >>> from saddlepoint.threat import Linf
    >>> configuration(Linf(0.5))
    {'type': 'Linf', 'eps': 0.5, 'lower': 0.0, 'upper': 1.0}
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        told = (
            f
            for f in dataclasses.fields(value)
            if not f.metadata.get(_ADDED) or getattr(value, f.name) != f.default
        )
        values = {f.name: configuration(getattr(value, f.name)) for f in told}
        kind = type(value)
        source = source_of(kind)
        brought = {} if source is None else {_PLUGIN: source}
        return {"type": vars(kind).get("__identity__", kind.__name__), **values, **brought}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): configuration(each) for key, each in value.items()}
    if isinstance(value, Sequence):
        return [configuration(each) for each in value]
    if isinstance(value, Set):  # whose order differs from process to process
        return sorted((configuration(each) for each in value), key=str)
    if hasattr(value, "tolist"):
        return configuration(value.tolist())
    if isinstance(value, Callable):  # type: ignore[arg-type]
        return _callable(value)
    return str(value)


def _callable(value: Any) -> Any:
    if isinstance(value, functools.partial):
        return {
            "type": configuration(value.func),
            "args": configuration(value.args),
            **configuration(value.keywords),
        }
    if hasattr(value, "__qualname__"):
        return _named(value)
    settings = {
        name: configuration(each)
        for name, each in vars(value).items()
        if name != "training"  # a module's flag, which is no setting
        and not name.startswith("_")
        and isinstance(each, bool | int | float | str | tuple | None)
    }
    return {"type": _named(type(value)), **settings}


_ADDED = "added"


def added(default: Any) -> Any:
    """Return a dataclass's field that came later than results of it: its configuration tells it only
    where it differs from `default`, so that those results keep their addresses.

    >>> @dataclasses.dataclass
    ... class Options:
    ...     steps: int = 3
    ...     corners: bool = added(True)
    >>> configuration(Options()), configuration(Options(corners=False))
    ({'type': 'Options', 'steps': 3}, {'type': 'Options', 'steps': 3, 'corners': False})
    """
    return dataclasses.field(default=default, metadata={_ADDED: True})


_Component = TypeVar("_Component", bound=Callable[..., Any])


def identified(name: str) -> Callable[[_Component], _Component]:
    """Return a decorator that gives a class or a function its public identity.

    >>> @identified("first")
    ... def second(): ...
    >>> configuration(second)
    'first'
    """

    def mark(component: _Component) -> _Component:
        component.__identity__ = name  # type: ignore[attr-defined]
        return component

    return mark


def _named(component: Any) -> str:
    own = vars(component).get("__identity__")  # not an inherited one
    source = source_of(component)
    if source is not None:  # in place of the module's name, which would hold the place of a file
        return f"{source}:{own or component.__qualname__}"
    return own or f"{component.__module__}.{component.__qualname__}"


_PLUGIN, _SOURCE = "plugin", "__saddlepoint_source__"


def sourced(module: ModuleType, source: str) -> None:
    """Mark a module, and those in it, as a plug-in's: `source` is a file's name and digest, or a
    distribution and its version, and is part of every configuration of what they define.

    >>> import types
    >>> module = types.ModuleType("mine")
    >>> sourced(module, "mine.py 0123456789abcdef")
    >>> source_of(module)
    'mine.py 0123456789abcdef'
    """
    setattr(module, _SOURCE, source)


def source_of(component: Any) -> str | None:
    """Return the plug-in that a module, a class or a function is of; None for all others.

    >>> source_of(configuration)
    """
    module = isinstance(component, ModuleType)
    name = getattr(component, "__name__" if module else "__module__", None) or ""
    if module and _SOURCE in vars(component):  # one that is not registered, too
        return str(vars(component)[_SOURCE])
    while isinstance(name, str) and name:
        source = getattr(sys.modules.get(name), _SOURCE, None)
        if source is not None:
            return str(source)
        name = name.rpartition(".")[0]
    return None


def differences(before: Any, now: Any, path: str = "", later: Collection[str] = ()) -> list[str]:
    """Return one line per value that two descriptions disagree on; a key of `later` that the
    earlier one does not have yet is no difference.

    >>> differences({"epochs": 10, "seed": 0}, {"epochs": 12, "seed": 0})
    ['epochs was 10, is now 12']
    """
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        keys = [*before, *(key for key in now if key not in before and key not in later)]
        found = []
        for key in keys:
            inner = f"{path}.{key}" if path else str(key)
            found += differences(before.get(key, "absent"), now.get(key, "absent"), inner, later)
        return found
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        pairs = enumerate(zip(before, now, strict=True))
        return [line for i, (b, n) in pairs for line in differences(b, n, f"{path}[{i}]", later)]
    if before == now:
        return []
    return [f"{path} was {_short(before)}, is now {_short(now)}"]


def _short(value: Any) -> str:
    text = str(value.get("type", value) if isinstance(value, Mapping) else value)
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= 60 else f"{text[:57]}..."
