"""Criteria by the words of commands and files."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor

from saddlepoint.attacks.core.accepted import AcceptedAsOther
from saddlepoint.attacks.core.criteria import BinaryLogit, Criterion, Misclassified, OutsideTopK
from saddlepoint.errors import InputError, unknown
from saddlepoint.plugins import from_file, is_file_spec, lacks, why


def parse_criterion(text: str) -> Criterion:
    """Return the criterion of a word: "misclassified", "binary-logit", "outside-top-5" …,
    "rejecting-10" …, or `FILE.py:NAME`, whose code is run: a `Criterion`, or a class of it that
    needs no argument.

    >>> parse_criterion("outside-top-3")
    OutsideTopK(k=3)
    >>> parse_criterion("rejecting-ten")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: unknown criterion 'rejecting-ten'; did you mean ...
    """
    if is_file_spec(text):
        return _brought(text)
    if text == "misclassified":
        return Misclassified()
    if text == "binary-logit":
        return BinaryLogit()
    head, _, k = text.rpartition("-")
    numbered: dict[str, Callable[[int], Criterion]] = {
        "outside-top": OutsideTopK,
        "rejecting": AcceptedAsOther,
    }
    if head in numbered and k.isascii() and k.isdecimal():
        return numbered[head](int(k))
    words = ("misclassified", "binary-logit", "outside-top-5", "rejecting-10")
    raise unknown("criterion", text, words)


def _brought(text: str) -> Criterion:
    found = from_file(text)
    arguments = ("logits", "labels")
    lacks(text, found, dict.fromkeys(("margin", "log_odds", "cross_entropy"), arguments))
    if isinstance(found, type):
        try:
            found = found()
        except Exception as error:
            raise InputError(f"{text} cannot be made without arguments: {why(error)}") from error
    made = cast(Criterion, found)
    try:
        margin: object = made.margin(torch.zeros(2, 10), torch.arange(2))
    except Exception:  # it may be for other logits
        return made
    if not isinstance(margin, Tensor) or margin.shape != (2,):
        seen = tuple(margin.shape) if isinstance(margin, Tensor) else repr(margin)[:60]
        raise InputError(f"{text}: margin returned {seen} for 2 images; return one number for each")
    return made
