"""The errors a user can cause, each one or two lines: what was seen, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable


class InputError(ValueError):
    """What was asked for cannot be done; the message names what was seen and the remedy.

    The command line prints it on stderr and exits with status 2.

    >>> raise InputError("eps is -1; give a positive number, for instance 8/255")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: eps is -1; give a positive number, for instance 8/255
    """


class OutputError(InputError):
    """A file could not be written; what had been written before is still valid.

    >>> issubclass(OutputError, InputError)
    True
    """


def unknown(kind: str, name: str, known: Iterable[str], earlier: Iterable[str] = ()) -> InputError:
    """Return the error for a name that is not known, with the nearest known one.

    Args:
        earlier: names that work and are not listed; they may be the nearest.

    >>> print(unknown("attack", "pdg", ["fgsm", "pgd"]))
    unknown attack 'pdg'; did you mean 'pgd'? (known: fgsm, pgd)
    """
    known = list(known)
    near = difflib.get_close_matches(name, [*known, *earlier], n=1, cutoff=0.4)
    hint = f"; did you mean '{near[0]}'?" if near else ";"
    return InputError(f"unknown {kind} '{name}'{hint} (known: {', '.join(known)})")


def check_names(kind: str, given: str | tuple[str, ...], known: Collection[str]) -> None:
    """Raise `InputError` for a name, or the first of several, that is none of a kind.

    >>> check_names("pool", ("mean", "clas"), ("class", "mean"))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: unknown pool 'clas'; did you mean 'class'? (known: class, mean)
    """
    for name in given if isinstance(given, tuple) else (given,):
        if name not in known:
            raise unknown(kind, str(name), known)
