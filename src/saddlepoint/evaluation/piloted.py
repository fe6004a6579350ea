"""What is asked of a pilot and of an examination before anything is run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from torch import nn

from saddlepoint.attacks.core.contract import Attack
from saddlepoint.attacks.core.pilot import Pilot
from saddlepoint.attacks.wrappers.fast import Fast
from saddlepoint.data import ImageData
from saddlepoint.errors import InputError, unknown
from saddlepoint.evaluation.verdict.examination import Diagnosis
from saddlepoint.model import plain_modules


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


def check_diagnosis(diagnosis: Diagnosis, model: nn.Module, data: ImageData) -> None:
    """Raise `InputError` for modules that the model has not, and certificates of other images.

    >>> from saddlepoint.data import load_data
    >>> some = Diagnosis(certified=[0.1])
    >>> check_diagnosis(some, nn.Flatten(), load_data("digits", limit=2))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: 1 certified budgets for 2 images; give one for each, 0 for none
    """
    known = {name for name, _ in model.named_modules() if name} | plain_modules(model).keys()
    for name in diagnosis.bpda:
        if name not in known:
            raise unknown("module of the model", name, sorted(known))
    budgets = diagnosis.certified
    if budgets is None:
        return
    if len(budgets) != len(data):
        raise InputError(
            f"{len(budgets)} certified budgets for {len(data)} images; give one for each, 0 for none"
        )
    if not all(math.isfinite(each) and each >= 0 for each in budgets):
        raise InputError("a certified budget is not finite or below 0; give 0 for none")


def is_of(pilot: Pilot | None, attacks: Mapping[str, Attack], images: int) -> bool:
    """Return whether what was found with `pilot` is what attacks would find now.

    Args:
        pilot: of a record; None where nobody looked.
        attacks: of the suite; only `Fast` takes a pilot.
        images: that a pilot would look at now.

    >>> from saddlepoint.threat import Linf
    >>> is_of(None, {"fast": Fast(Linf(0.1))}, 64), is_of(None, {}, 64)
    (False, True)
    """
    if not any(isinstance(each, Fast) and each.pilot is None for each in attacks.values()):
        return True
    return pilot is not None and pilot.images == images
