"""Sums, dates and the names of numbers."""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from typing import ClassVar

from saddlepoint.text.rules.rule import Example, Rule, between

_ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["_", "_", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


class Addition(Rule):
    """A sum of two numbers of up to four digits, its lowest digit first, as one writes it by hand.

    >>> Addition().make([0.3, 0.023, 0.6, 0.273])
    Example(texts=('12+345',), answer='753')
    """

    name: ClassVar[str] = "addition"
    what: ClassVar[str] = "the sum of two numbers of 1 to 4 digits, the lowest digit first"
    draws: ClassVar[int] = 4

    def make(self, u: Sequence[float]) -> Example:
        """Return a sum."""
        a, b = _number(1, 4, *u[:2]), _number(1, 4, *u[2:])
        return Example((f"{a}+{b}",), str(a + b)[::-1])


class Dates(Rule):
    """A day from 1900 to 2099 in words, and as ISO 8601 has it.

    >>> Dates().make([0.61, 0.35, 0.08])
    Example(texts=('3 May 2022',), answer='2022-05-03')
    """

    name: ClassVar[str] = "dates"
    what: ClassVar[str] = "a day from 1900 to 2099 as year, month and day"
    draws: ClassVar[int] = 3

    def make(self, u: Sequence[float]) -> Example:
        """Return a date."""
        year, month = between(1900, 2099, u[0]), between(1, 12, u[1])
        day = between(1, calendar.monthrange(year, month)[1], u[2])
        name = _MONTHS[month - 1]
        return Example((f"{day} {name} {year}",), f"{year}-{month:02d}-{day:02d}")


class NumberWords(Rule):
    """A number below a million, and its name.

    >>> NumberWords().make([0.7, 0.2671])
    Example(texts=('34039',), answer='thirty-four thousand and thirty-nine')
    """

    name: ClassVar[str] = "number-words"
    what: ClassVar[str] = "a number of 1 to 6 digits in words"
    draws: ClassVar[int] = 2

    def make(self, u: Sequence[float]) -> Example:
        """Return a number."""
        n = _number(1, 6, *u)
        return Example((str(n),), number_words(n))


_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]  # not `calendar.month_name`, which speaks the language of the machine


def number_words(n: int) -> str:
    """Return the English name of a number from 0 to 999,999.

    >>> number_words(100_020), number_words(421_000)
    ('one hundred thousand and twenty', 'four hundred and twenty-one thousand')
    """
    if n < 20:
        return _ONES[n]
    if n < 100:
        return _TENS[n // 10] + (f"-{_ONES[n % 10]}" if n % 10 else "")
    size, name = (1000, "thousand") if n >= 1000 else (100, "hundred")
    head, rest = f"{number_words(n // size)} {name}", n % size
    if not rest:
        return head
    return f"{head} {'and ' if rest < 100 else ''}{number_words(rest)}"


def _number(least: int, most: int, u: float, v: float) -> int:
    """Return a number whose digits are as likely 1 as 4."""
    digits = between(least, most, u)
    return between(0 if digits == 1 else 10 ** (digits - 1), 10**digits - 1, v)
