"""Configurations as plain JSON: what identifies a run, and how two of them differ."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def describe(value: Any) -> Any:
    """Return a configuration (nested dataclasses, mappings, sequences, numbers) as JSON values.

    A dataclass becomes a mapping with its type's name and all its fields, defaults included; what
    is neither data nor a dataclass (a function, a module) is named by its module and name.

    >>> from saddlepoint.threat import Linf
    >>> describe(Linf(0.5))
    {'type': 'Linf', 'eps': 0.5, 'lower': 0.0, 'upper': 1.0}
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        values = {f.name: describe(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"type": type(value).__name__, **values}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): describe(each) for key, each in value.items()}
    if isinstance(value, Sequence):
        return [describe(each) for each in value]
    if isinstance(value, Callable):  # type: ignore[arg-type]
        return f"{value.__module__}.{getattr(value, '__qualname__', type(value).__name__)}"
    if hasattr(value, "tolist"):
        return describe(value.tolist())
    return str(value)


def differences(before: Any, now: Any, path: str = "") -> list[str]:
    """Return one line per value that two descriptions disagree on.

    >>> differences({"epochs": 10, "seed": 0}, {"epochs": 12, "seed": 0})
    ['epochs was 10, is now 12']
    """
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        keys = [*before, *(key for key in now if key not in before)]
        found = []
        for key in keys:
            inner = f"{path}.{key}" if path else str(key)
            found += differences(before.get(key, "absent"), now.get(key, "absent"), inner)
        return found
    if before == now:
        return []
    return [f"{path} was {_short(before)}, is now {_short(now)}"]


def _short(value: Any) -> str:
    text = value.get("type", str(value)) if isinstance(value, Mapping) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
