"""Which numbers this program computes: part of whatever is kept to be gone on from."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

NUMERICS: Mapping[str, int] = MappingProxyType(
    {"data": 2, "zoo": 1, "attacks": 4, "defences": 1, "training": 1, "evaluation": 3}
)
"""Raised where a change of the program changes results: what was computed before is then another's."""
