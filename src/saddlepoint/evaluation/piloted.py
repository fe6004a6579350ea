"""Attacks that take a pilot: they are given this evaluation's, and have none of other images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from saddlepoint.attacks.core.contract import Attack
from saddlepoint.attacks.core.pilot import Pilot
from saddlepoint.attacks.wrappers.fast import Fast
from saddlepoint.data import ImageData
from saddlepoint.errors import InputError


def informed(attacks: Mapping[str, Attack], pilot: Pilot) -> dict[str, Attack]:
    """Return the attacks, those that take a pilot and have none with this one.

    >>> from saddlepoint.attacks import PGD
    >>> from saddlepoint.attacks.wrappers.fast import Fast
    >>> from saddlepoint.threat import Linf
    >>> attacks = {"pgd": PGD(Linf(0.1)), "fast": Fast(Linf(0.1))}
    >>> informed(attacks, Pilot(images=64))["fast"].pilot.images
    64
    """
    return {
        name: replace(each, pilot=pilot) if isinstance(each, Fast) and each.pilot is None else each
        for name, each in attacks.items()
    }


def check_pilots(attacks: Mapping[str, Attack], data: ImageData) -> None:
    """Raise `InputError` for an attack whose pilot is of other images.

    >>> from saddlepoint.data import load_data
    >>> from saddlepoint.threat import Linf
    >>> attacks = {"fast": Fast(Linf(0.1), pilot=Pilot((), 64, "0123456789abcdef"))}
    >>> check_pilots(attacks, load_data("digits", limit=2))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: the pilot of fast is of other images (0123456789abcdef, these are
    ...); leave it out, and these are looked at
    """
    for name, attack in attacks.items():
        pilot = attack.pilot if isinstance(attack, Fast) else None
        if pilot is not None and pilot.data not in ("", data.fingerprint):
            raise InputError(
                f"the pilot of {name} is of other images ({pilot.data}, these are"
                f" {data.fingerprint}); leave it out, and these are looked at"
            )
