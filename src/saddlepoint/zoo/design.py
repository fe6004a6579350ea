"""The options of a network as a value: changed by name, and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

from saddlepoint.errors import unknown

Design = TypeVar("Design")


def changed(name: str, design: Design, options: Mapping[str, Any]) -> Design:
    """Return a frozen design of the model `name` with other options, lists as tuples.

    Raises `InputError` for an unknown one, besides what the design itself refuses.

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Sides:
    ...     height: int = 2
    >>> changed("a box", Sides(), {"height": 3})
    Sides(height=3)
    """
    known = [each.name for each in fields(design)]  # type: ignore[arg-type]
    for key in options:
        if key not in known:
            raise unknown(f"option of {name}", key, known)
    given = {key: tuple(v) if isinstance(v, list) else v for key, v in options.items()}
    return replace(design, **given)  # type: ignore[type-var]
