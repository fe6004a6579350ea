"""Which attacks have a form for which threat models."""

from __future__ import annotations

from typing import Any

from saddlepoint.errors import InputError
from saddlepoint.threat import Holding, ThreatModel, norm_of

NORMS = ("Linf", "L2", "L1", "L0", "L2/token", "Box", "Patches")
"""Those that an attack may lack; "Box" has none."""


def has_form(attack: Any, threat: ThreatModel) -> bool:
    """Return whether an attack, or a class of them, has a form for a threat model.

    >>> from saddlepoint.attacks import Square
    >>> from saddlepoint.threat import L0, Linf, TokenL2
    >>> [has_form(Square, each) for each in (Linf(0.1), L0(3), TokenL2(0.1))]
    [True, False, False]
    """
    norm = norm_of(threat)
    held = attack.whole_inputs and isinstance(threat, Holding)
    return not held and (norm in attack.norms or norm not in NORMS)


def check_form(attack: Any, threat: ThreatModel) -> None:
    """Raise `InputError` unless an attack has a form for a threat model.

    >>> from saddlepoint.attacks import Square
    >>> from saddlepoint.threat import TokenL2
    >>> check_form(Square, TokenL2(0.1))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: Square lays windows over whole inputs, and L2 0.1 holds some ...
    """
    if has_form(attack, threat):
        return
    name, norm = getattr(attack, "__name__", type(attack).__name__), norm_of(threat)
    if norm in attack.norms:
        raise InputError(
            f"{name} lays windows over whole inputs, and {threat} holds some tokens of each; take an"
            " attack with gradients"
        )
    raise InputError(f"{name} has no {norm} form; it takes {', '.join(attack.norms)}")
