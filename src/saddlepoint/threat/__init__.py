"""Threat models: what the adversary may do to an image (norm, budget, valid range)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from saddlepoint.errors import unknown
from saddlepoint.threat.ball import NormBall
from saddlepoint.threat.balls import L0, L1, L2, Linf
from saddlepoint.threat.box import Box
from saddlepoint.threat.budgets import format_eps, parse_eps
from saddlepoint.threat.norms import norm, unit
from saddlepoint.threat.protocol import Ascendable, ThreatModel
from saddlepoint.threat.spaces import Rescaled

NORMS: Mapping[str, type[NormBall]] = MappingProxyType({"linf": Linf, "l2": L2, "l1": L1, "l0": L0})


def norm_ball(name: str, eps: str | float = math.inf) -> NormBall:
    """Return the ball of a norm by name; `eps` may be a fraction ("8/255").

    >>> norm_ball("linf", "8/255") == Linf(8 / 255)
    True
    >>> norm_ball("l3", 1)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: unknown norm 'l3'; did you mean 'l2'? (known: linf, l2, l1, l0)
    """
    if name.lower() not in NORMS:
        raise unknown("norm", name, NORMS)
    return NORMS[name.lower()](eps if eps == math.inf else parse_eps(eps))


__all__ = [
    "L0",
    "L1",
    "L2",
    "NORMS",
    "Ascendable",
    "Box",
    "Linf",
    "NormBall",
    "Rescaled",
    "ThreatModel",
    "format_eps",
    "norm",
    "norm_ball",
    "parse_eps",
    "unit",
]
