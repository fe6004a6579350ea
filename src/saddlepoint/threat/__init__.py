"""Threat models: what the adversary may do to an image (norm, budget, valid range)."""

from __future__ import annotations

from saddlepoint.threat.ball import NormBall
from saddlepoint.threat.balls import L0, L1, L2, Linf
from saddlepoint.threat.box import Box
from saddlepoint.threat.budgets import format_eps, parse_eps
from saddlepoint.threat.named import (
    EMBEDDING,
    NORMS,
    TOKEN_NORMS,
    Statistics,
    norm_ball,
    threat_from,
)
from saddlepoint.threat.norms import norm, unit
from saddlepoint.threat.patches import Patches
from saddlepoint.threat.protocol import (
    Ascendable,
    Clippable,
    Holding,
    Normed,
    ThreatModel,
    counted,
    eps_of,
    norm_of,
    unlimited,
)
from saddlepoint.threat.root_length import PerRootLength
from saddlepoint.threat.spaces import Rescaled
from saddlepoint.threat.tokens import EachTokenL2, TokenBall, TokenL2, TokenLinf

__all__ = [
    "EMBEDDING",
    "L0",
    "L1",
    "L2",
    "NORMS",
    "TOKEN_NORMS",
    "Ascendable",
    "Box",
    "Clippable",
    "EachTokenL2",
    "Holding",
    "Linf",
    "NormBall",
    "Normed",
    "Patches",
    "PerRootLength",
    "Rescaled",
    "Statistics",
    "ThreatModel",
    "TokenBall",
    "TokenL2",
    "TokenLinf",
    "counted",
    "eps_of",
    "format_eps",
    "norm",
    "norm_ball",
    "norm_of",
    "parse_eps",
    "threat_from",
    "unit",
    "unlimited",
]
