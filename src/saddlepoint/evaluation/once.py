"""Minimum-norm attacks of a suite: run once on every image that is right, counted at every budget."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from jaxtyping import Bool, Float
from torch import Tensor

from saddlepoint.attacks import Attack
from saddlepoint.attacks.core.kinds import MINIMUM_NORM
from saddlepoint.errors import InputError
from saddlepoint.threat import Normed, ThreatModel

ONCE = -1
"""The level of an attack that is run for all budgets at once."""


def runs_once(attack: Attack) -> bool:
    """Return whether one run of the attack tells of every budget: it looks for a distance.

    >>> from saddlepoint.attacks import DDN, PGD, AtBudget
    >>> from saddlepoint.threat import L2
    >>> [runs_once(each) for each in (DDN(L2()), PGD(L2(0.5)), AtBudget(DDN(L2()), L2(0.5)))]
    [True, False, False]
    """
    return attack.kind is MINIMUM_NORM


def once_names(attacks: Mapping[str, Attack]) -> tuple[str, ...]:
    """Return the names of the attacks of a suite that are run once.

    >>> from saddlepoint.attacks import DDN, PGD
    >>> from saddlepoint.threat import L2
    >>> once_names({"pgd": PGD(L2(0.5)), "ddn": DDN(L2())})
    ('ddn',)
    """
    return tuple(name for name, attack in attacks.items() if runs_once(attack))


def of_once(name: str) -> str:
    """Return what the images are called that an attack of that name, run once, has found.

    >>> of_once("ddn")
    'once, ddn'
    """
    return f"once, {name}"


def under(attack: Attack, threat: ThreatModel) -> Attack:
    """Return the attack of a suite under the threat model of a budget: one that is run once has the
    norm alone.

    Raises `InputError` where that has no norm.

    >>> from saddlepoint.attacks import DDN
    >>> from saddlepoint.threat import L2, Box
    >>> under(DDN(L2()), L2(0.5)).threat.eps
    inf
    >>> under(DDN(L2()), Box(0.0, 0.1))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: DDN finds distances in a norm, and Box has none; leave it out
    """
    if not runs_once(attack):
        return replace(attack, threat=threat)
    if not isinstance(threat, Normed):
        name = type(attack).__name__
        raise InputError(f"{name} finds distances in a norm, and {threat} has none; leave it out")
    return replace(attack, threat=threat.with_eps(math.inf))


def reached(threat: Normed, distance: Float[Tensor, " m"]) -> Bool[Tensor, " m"]:
    """Return which distances, as the judge measured them, lie within the budget and the judge's
    tolerance.

    >>> import torch
    >>> from saddlepoint.threat import L2
    >>> reached(L2(0.5), torch.tensor([0.4, 0.500001, 0.51]))
    tensor([ True,  True, False])
    """
    return distance.double() <= float(threat.eps) * (1 + threat.ball.tolerance)
