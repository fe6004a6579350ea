"""A question about robust accuracy that ends an evaluation once it is answered."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from saddlepoint.errors import InputError
from saddlepoint.evaluation.confidence_sequence import Bounds

Answer = Literal["yes", "no"]
"""To the question as it was written."""

_FORM = re.compile(r"robust(>=|≥|<)(\d+\.?\d*|\.\d+)(%?)")
_EXAMPLE = "give robust>=0.45, robust>=45% or robust<0.45"


@dataclass(frozen=True)
class Until:
    """Whether the share of all images that are robust is at least a threshold, or below it.

    Both directions ask the same and are decided by the same image; the answers are opposite.

    Args:
        threshold: a share of all images, as the decimal number that it prints as.
        below: ask whether the share is below the threshold rather than at least that.

    Raises `InputError` for a threshold that is no share above 0.

    >>> str(Until(0.45)), str(Until(0.3, below=True))
    ('robust>=0.45', 'robust<0.3')
    """

    threshold: float
    below: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise InputError(
                f"the threshold is {self.threshold}; give a share above 0 and at most 1, such as 0.45"
            )

    def least(self, total: int) -> int:
        """Return the smallest count of `total` images whose share reaches the threshold.

        >>> Until(0.07).least(100), Until(0.45).least(355)
        (7, 160)
        """
        # 0.07 times 100 exceeds 7 in floating point.
        return math.ceil(Fraction(str(float(self.threshold))) * total)

    def __str__(self) -> str:
        return f"robust{'<' if self.below else '>='}{Decimal(str(self.threshold)):f}"


def parse_until(text: str) -> Until:
    """Return the question that a text asks: `robust>=0.45`, `robust >= 45%` or `robust<0.45`.

    Raises `InputError` for any other text.

    >>> parse_until("robust >= 45 %")
    Until(threshold=0.45, below=False)
    >>> parse_until("accuracy>0.45")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: until is 'accuracy>0.45'; give robust>=0.45, robust>=45% or robust<0.45
    """
    found = _FORM.fullmatch("".join(text.split())) if isinstance(text, str) else None
    if found is None:
        raise InputError(f"until is {text!r:.60}; {_EXAMPLE}")
    sign, number, percent = found.groups()
    share = Fraction(number) / (100 if percent else 1)
    if not 0 < share <= 1:
        hint = f"; is {number}% meant?" if 1 < share <= 100 and not percent else ""
        raise InputError(
            f"until is {text!r:.60}, which is no share above 0 and at most 1{hint or f'; {_EXAMPLE}'}"
        )
    return Until(float(share), below=sign == "<")


def decide(until: Until, bounds: Bounds) -> Answer | None:
    """Return the answer that all counts within the bounds agree on; None while they do not.

    With bounds of a `ConfidenceSequence` of level 95 %, taken whenever one likes, the answer is wrong
    with a chance of 5 % at most, whatever the true share; after all images it is never wrong, unless
    it was given before.

    >>> [decide(Until(0.45), Bounds(low, low + 9, 100)) for low in (30, 40, 50)]
    ['no', None, 'yes']
    >>> decide(Until(0.45, below=True), Bounds(30, 39, 100))
    'yes'
    """
    least = until.least(bounds.total)
    if bounds.low >= least:
        return "no" if until.below else "yes"
    if bounds.high < least:
        return "yes" if until.below else "no"
    return None
