"""What an attack that runs another one takes over from it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import Attack
from saddlepoint.attacks.core.final_search import widen
from saddlepoint.attacks.core.stages import stage
from saddlepoint.attacks.core.tracker import Keeper, Nearest
from saddlepoint.errors import InputError
from saddlepoint.model import full_precision


def contract_of(attack: Attack) -> dict[str, Any]:
    """Return the fields of the contract itself: threat, criterion, stop, keep, precision …

    Raises `InputError` for what is no attack.

    >>> from saddlepoint.attacks import PGD
    >>> from saddlepoint.threat import Linf
    >>> contract_of(PGD(Linf(0.1), steps=7, eot_samples=3))["eot_samples"]
    3
    """
    if not isinstance(attack, Attack):
        raise InputError(f"{attack!r} is no attack; for one of another library see `foreign`")
    return {field.name: getattr(attack, field.name) for field in fields(Attack)}


def nearest_by(attack: Attack, batch: Batch, best: Keeper) -> Nearest:
    """Run a minimum-norm attack inside another one; return what it found, for the whole call.

    As in a call of its own, float32 is not shortened, and a success against a random model has to
    hold in several draws.

    Args:
        attack: the inner attack.
        batch: the samples, whose threat model has no budget.
        best: the outer keeper, for the shape of the call.
    """
    random = batch.guard.random
    found = Nearest(best.images, random)
    if batch.starts is not None:
        found.last(batch, batch.project(batch.threat.parametrise(batch.starts)))
    with full_precision(batch.guard.device, not attack.autocast):
        stage(batch, found, lambda: attack.perturb(batch, found))
    if random:
        widen(batch, found)
    return found


def check_members(attack: Attack, members: tuple[Attack, ...]) -> None:
    """Raise `InputError` unless there are members, all minimum-norm attacks of the same threat.

    >>> from saddlepoint.attacks import DDN
    >>> from saddlepoint.threat import L2
    >>> check_members(DDN(L2()), ())
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: DDN needs a member; give at least one minimum-norm attack
    """
    if not members:
        name = type(attack).__name__
        raise InputError(f"{name} needs a member; give at least one minimum-norm attack")
    for member in members:
        contract_of(member)
        if not member.minimum_norm or member.threat != attack.threat:
            raise InputError(
                f"{type(member).__name__} under {member.threat} is no minimum-norm attack under"
                f" {attack.threat}"
            )
