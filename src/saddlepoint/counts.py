"""Whole numbers that a user gives: how many steps, images, threads; and how large one may be."""

from __future__ import annotations

from typing import Any

from saddlepoint.errors import InputError

MOST = 1_000_000_000
"""Of anything that is counted; no run of more would end."""
MOST_THREADS = 1024
MOST_SIDE = 4096
"""Pixels to which images are resized."""
MOST_SEED = 2**32 - 1


def check_count(name: str, value: Any, least: int = 1, most: int = MOST) -> None:
    """Raise `InputError` unless `value` is a whole number from `least` to `most`.

    >>> check_count("steps", 10**20)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: steps is 100000000000000000000; give at most 1,000,000,000
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"{name} is {value!r}; give a whole number of at least {least}")
    if value < least:
        raise InputError(f"{name} is {_shown(value)}; give at least {least}")
    if value > most:
        raise InputError(f"{name} is {_shown(value)}; give at most {most:,}")


def check_seed(seed: Any) -> None:
    """Raise `InputError` unless `seed` is a whole number from 0 to 2³² − 1.

    >>> check_seed(-1)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: seed is -1; give a whole number from 0 to 4294967295
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MOST_SEED:
        shown = _shown(seed) if isinstance(seed, int) else repr(seed)
        raise InputError(f"seed is {shown}; give a whole number from 0 to {MOST_SEED}")


def check_sizes(name: str, value: Any) -> None:
    """Raise `InputError` where a whole number, alone or in a list, does not fit into 64 bits.

    >>> check_sizes("sides", [8, -(2**70)])
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: sides is -1180591620717411303424; give a smaller number
    """
    for each in value if isinstance(value, list | tuple) else (value,):
        if isinstance(each, int) and not -(2**63) <= each < 2**63:
            raise InputError(f"{name} is {_shown(each)}; give a smaller number")


def _shown(value: int) -> str:
    # Python refuses to write out the largest.
    return str(value) if value.bit_length() <= 128 else f"a number of {value.bit_length()} bits"
