"""What `--set NAME=VALUE` and `--penalty NAME=WEIGHT` gave, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from saddlepoint.errors import InputError


def pairs(words: list[str] | None) -> dict[str, str]:
    """Return what `--set NAME=VALUE` gave, by name."""
    found = {}
    for word in words or []:
        name, equals, value = word.partition("=")
        if not equals or not name.strip():
            raise InputError(f"--set {word}: write NAME=VALUE, for instance --set steps=40")
        found[name.strip()] = value.strip()
    return found


def model_options(words: list[str] | None) -> dict[str, Any]:
    """Return what `--model-option NAME=VALUE` gave, by name; values are read as in a study's file, and
    several with commas are a list.

    >>> model_options(["patch=8", "positions=2d", "shift=false", "depths=2,2"])
    {'patch': 8, 'positions': '2d', 'shift': False, 'depths': [2, 2]}
    """
    found: dict[str, Any] = {}
    for word in words or []:
        name, equals, value = (part.strip() for part in word.partition("="))
        if not equals or not name or not value:
            raise InputError(f"--model-option {word}: write NAME=VALUE, for instance patch=8")
        if name in found:
            raise InputError(f"--model-option {name} is given twice; give it once")
        try:
            several = "," in value and value[:1] not in "[{"
            found[name] = yaml.safe_load(f"[{value}]" if several else value)
        except yaml.YAMLError:
            raise InputError(
                f"--model-option {word}: cannot read {value!r}; give a number or a name"
            ) from None
    return found


def changed(words: list[str] | None, flags: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields of a recipe that a command changes, as text by their dotted names.

    Args:
        words: of `--set FIELD=VALUE`.
        flags: the fields that have an option of their own, with its value or None.

    >>> changed(["epochs=3"], {"batch_size": 32, "augmentation": None})
    {'batch_size': '32', 'epochs': '3'}
    """
    own = {name: str(value) for name, value in flags.items() if value is not None}
    found = pairs(words)
    for name in own.keys() & found.keys():
        raise InputError(f"{name} is given twice, by an option of its own and by --set; give one")
    return {**own, **found}


def weighted(words: list[str] | None) -> tuple[tuple[str, float], ...]:
    """Return what `--penalty NAME=WEIGHT` gave."""
    found = []
    for word in words or []:
        name, _, weight = word.rpartition("=")
        try:
            found.append((name, float(weight)))
        except ValueError:
            name = ""
        if not name:
            raise InputError(f"--penalty {word}: write NAME=WEIGHT, such as orthogonal=0.001")
    return tuple(found)
