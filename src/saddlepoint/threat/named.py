"""Threat models in the words of a command line or a file: a norm, a budget, a space, a range."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from saddlepoint.errors import InputError, unknown
from saddlepoint.threat.ball import NormBall
from saddlepoint.threat.balls import L0, L1, L2, Linf
from saddlepoint.threat.budgets import parse_eps
from saddlepoint.threat.patches import Patches
from saddlepoint.threat.protocol import ThreatModel
from saddlepoint.threat.root_length import PerRootLength
from saddlepoint.threat.spaces import Rescaled
from saddlepoint.threat.tokens import EachTokenL2, TokenL2, TokenLinf

Statistics = tuple[tuple[float, ...], tuple[float, ...]]
"""The mean and the standard deviation of each channel, for budgets in normalised space."""

NORMS: Mapping[str, type[NormBall]] = MappingProxyType(
    {"linf": Linf, "l2": L2, "l1": L1, "l0": L0, "patches": Patches}
)
"""By name; that of patches may be written with their side, `patches:8`."""


EMBEDDING = "embedding"
"""The space of budgets of embedded text."""
TOKEN_NORMS: Mapping[str, Callable[[float], ThreatModel]] = MappingProxyType(
    {
        "linf": TokenLinf,
        "l2": TokenL2,
        "l2-token": EachTokenL2,
        "l2-root": lambda eps: PerRootLength(TokenL2(eps)),
    }
)
"""By name, those of that space: `l2-token` of each token by itself, `l2-root` eps·√T of T tokens."""


def norm_ball(name: str, eps: str | float = math.inf) -> NormBall:
    """Return the ball of a norm by name; `eps` may be a fraction ("8/255").

    Raises `InputError` for an unknown name, and for a side of patches, `patches:SIDE`, that is no
    whole number; without one it is 4.

    >>> norm_ball("linf", "8/255") == Linf(8 / 255)
    True
    >>> str(norm_ball("patches:8", 2))
    'Patches(8×8) 2'
    >>> norm_ball("l3", 1)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: unknown norm 'l3'; did you mean 'l2'? (known: linf, l2, l1, l0,
    patches)
    """
    norm, colon, side = name.lower().partition(":")
    if norm not in NORMS:
        raise unknown("norm", name, NORMS)
    budget = eps if eps == math.inf else parse_eps(eps)
    if not colon:
        return NORMS[norm](budget)
    if norm != "patches" or not side.isdecimal():
        raise InputError(f"the norm is '{name}'; only patches take a side in pixels, patches:8")
    return Patches(budget, size=int(side))


def threat_from(
    norm: str,
    eps: str | float,
    space: str,
    bounds: str,
    statistics: Statistics | None,
    shape: tuple[int, ...] | None = None,
) -> ThreatModel:
    """Return the threat model of a norm, a budget, a space and a range.

    Args:
        space: "pixels", "normalised" for a budget on (x − mean)/std, or "embedding" for that of
            text, which has no range.
        bounds: "image" keeps every image in [0, 1]; in normalised space also "unbounded", and
            "clip" to [−2, 2], the optional line of Algorithm 1 in the nine-defences report.
        shape: of the images, where it is known: a budget in pixels that is wider than their range
            is refused, in Linf without it too.

    >>> str(threat_from("linf", "8/255", "normalised", "unbounded", ((0.5,), (0.2,))))
    'Linf 8/255 (normalised space)'
    """
    if space == EMBEDDING:
        if norm.lower() not in TOKEN_NORMS:
            raise unknown("norm", norm, TOKEN_NORMS)
        return TOKEN_NORMS[norm.lower()](eps if eps == math.inf else parse_eps(eps))
    ball = norm_ball(norm, eps)
    if space not in ("pixels", "normalised"):
        raise unknown("space", space, ("pixels", "normalised", EMBEDDING))
    if bounds not in ("image", "unbounded", "clip"):
        raise unknown("range", bounds, ("image", "unbounded", "clip"))
    if space == "pixels":
        if bounds != "image":
            raise InputError(f'range "{bounds}" is for the normalised space; leave it out')
        if shape is not None or isinstance(ball, Linf):
            ball.check_width(shape or ())
        return ball
    if statistics is None:
        raise InputError(
            "a budget in normalised space needs the mean and standard deviation of the channels"
        )
    mean, std = statistics
    if bounds == "image":
        return Rescaled.pixels(ball, mean, std)
    limit = math.inf if bounds == "unbounded" else 2.0
    return Rescaled(replace(ball, lower=-limit, upper=limit), mean, std)
