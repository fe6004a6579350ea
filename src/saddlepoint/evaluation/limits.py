"""How far an evaluation goes: for how long, and until which question is answered."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from saddlepoint.errors import InputError
from saddlepoint.evaluation.until import Until

_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}
_FORM = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|h)?")


@dataclass(frozen=True)
class Limits:
    """The time that an evaluation is given, after which what it has found is an upper bound; and a
    question, after whose answer nothing more is attacked.

    Attributes:
        seconds: from the call on; the pass over the clean images is made whatever it takes.
        until: is asked of one budget; images are done with in random order.

    >>> Limits(600.0).seconds
    600.0
    """

    seconds: float | None = None
    until: Until | None = None

    def __post_init__(self) -> None:
        if self.seconds is not None and not self.seconds > 0:
            raise InputError(f"the time is {self.seconds:g} s; give more than none")

    def check(self, budgets: int) -> None:
        """Raise `InputError` where the question is asked of several budgets.

        >>> Limits().check(2)
        """
        if self.until is not None and budgets > 1:
            raise InputError(
                f"{self.until} asks of one budget, and there are {budgets}; give one eps"
            )

    def deadline(self) -> float | None:
        """Return when the time is up that begins now, by `time.monotonic`; None is never."""
        return None if self.seconds is None else time.monotonic() + self.seconds


def parse_seconds(text: str) -> float:
    """Return the seconds that a text gives.

    Raises `InputError` for what is no time.

    >>> parse_seconds("10min"), parse_seconds("1h 30min"), parse_seconds("45")
    (600.0, 5400.0, 45.0)
    >>> parse_seconds("soon")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: a time is 'soon'; give seconds, or such as 90s, 10min, 1.5h
    """
    pieces = re.findall(r"[\d.]+\s*[a-z]*", text)
    found = [_FORM.fullmatch(piece.strip()) for piece in pieces]
    whole = "".join(pieces).replace(" ", "") == text.replace(" ", "")
    if not found or not whole or not all(found):
        raise InputError(f"a time is {text!r:.40}; give seconds, or such as 90s, 10min, 1.5h")
    seconds = sum(float(each[1]) * _UNITS[each[2] or "s"] for each in found if each is not None)
    if not seconds > 0:
        raise InputError(f"a time is {text!r:.40}; give more than none")
    return seconds
