"""Parametrised tests of which the quick run takes some cases and the slow run all."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def mostly_slow(cases: Iterable[Any], quick: Collection[Any]) -> list[Any]:
    """The cases, those that are not in `quick` marked slow; a tuple is the arguments of one case."""
    cases = list(cases)
    unknown = [each for each in quick if each not in cases]
    assert not unknown, f"no such cases: {unknown}"
    return [
        each if each in quick
        else pytest.param(*(each if isinstance(each, tuple) else (each,)), marks=pytest.mark.slow)
        for each in cases
    ]  # fmt: skip
