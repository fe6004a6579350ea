"""Budgets as people write them: "8/255", "0.5", "12"."""

from __future__ import annotations

from fractions import Fraction

from saddlepoint.errors import InputError


def parse_eps(text: str | float) -> float:
    """Return the budget written as a number or a fraction; raises `InputError` unless it is at
    least 0.

    >>> parse_eps("8/255") == 8 / 255
    True
    >>> parse_eps("eight")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: eps is 'eight'; give a positive number or fraction, for instance
    0.5 or 8/255, or 0
    """
    try:
        numerator, slash, denominator = str(text).partition("/")
        value = float(numerator) / (float(denominator) if slash else 1.0)
    except (ValueError, ZeroDivisionError):
        value = -1.0
    if not 0 <= value < float("inf"):
        raise InputError(
            f"eps is {text!r}; give a positive number or fraction, for instance 0.5 or 8/255, or 0"
        )
    return abs(value)  # not −0


def format_eps(eps: float) -> str:
    """Return the budget as k/255 where it is one, else as a short number.

    >>> format_eps(8 / 255), format_eps(0.5), format_eps(12)
    ('8/255', '0.5', '12')
    """
    levels = Fraction(eps * 255).limit_denominator(10)
    if levels.denominator == 1 and 0 < levels < 255 and abs(float(levels) - eps * 255) < 1e-4:
        return f"{levels.numerator}/255"
    return f"{eps:.6g}"
