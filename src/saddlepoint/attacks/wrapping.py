"""What an attack that runs another one takes over from it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from saddlepoint.attacks.base import Attack
from saddlepoint.errors import InputError


def contract_of(attack: Attack) -> dict[str, Any]:
    """Return the fields of the contract itself: threat, criterion, stop, keep, precision …

    Raises `InputError` for what is no attack.

    >>> from saddlepoint.attacks import PGD
    >>> from saddlepoint.threat import Linf
    >>> contract_of(PGD(Linf(0.1), steps=7, eot_samples=3))["eot_samples"]
    3
    """
    if not isinstance(attack, Attack):
        raise InputError(f"{attack!r} is no attack; for one of another library see `foreign`")
    return {field.name: getattr(attack, field.name) for field in fields(Attack)}
