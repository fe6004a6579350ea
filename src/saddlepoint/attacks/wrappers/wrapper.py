"""What every attack made of another one shares."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

from saddlepoint.attacks.core.contract import Attack
from saddlepoint.attacks.core.criteria import Criterion
from saddlepoint.attacks.core.kinds import MINIMUM_NORM, Kind
from saddlepoint.errors import InputError
from saddlepoint.option_values import Count
from saddlepoint.threat import ThreatModel

INNER: Any = ...
"""Stands for the value that follows from the attack inside."""
_CONTRACT = tuple(each.name for each in fields(Attack))


@dataclass(frozen=True, kw_only=True)
class Wrapper(Attack):
    """An attack made of another one, of which it has the kind, the threat model, the criterion and
    all else that is not given.

    Args:
        attack: the attack inside.

    >>> from saddlepoint.attacks import DDN, PGD, Restarted
    >>> from saddlepoint.threat import L2, Linf
    >>> Restarted(PGD(Linf(0.1), eot_samples=3), 5).eot_samples, Restarted(DDN(L2()), 5).kind.name
    (3, 'minimum norm')
    """

    attack: Attack = field(kw_only=False)
    threat: ThreatModel = field(default=INNER, kw_only=True)
    criterion: Criterion = INNER
    stop: Literal["success", "never"] = INNER
    keep: Literal["best", "last"] = INNER
    eot_samples: Count = INNER
    autocast: Literal["bf16"] | None = INNER
    compile: bool = INNER

    norms: ClassVar[tuple[str, ...]] = ("Linf", "L2", "L1", "L0", "Box")

    def __post_init__(self) -> None:
        if not isinstance(self.attack, Attack):
            raise InputError(
                f"{self.attack!r} is no attack; for one of another library see `foreign`"
            )
        self._take_over(**{name: getattr(self.attack, name) for name in _CONTRACT})
        super().__post_init__()

    def _take_over(self, **values: Any) -> None:
        """Give the fields these values where nobody gave them any."""
        for name, value in values.items():
            if getattr(self, name) is INNER:
                object.__setattr__(self, name, value)

    @property
    def kind(self) -> Kind:
        """What the attack inside looks for."""
        return self.attack.kind


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
        if not isinstance(member, Attack):
            raise InputError(f"{member!r} is no attack; for one of another library see `foreign`")
        if member.kind is not MINIMUM_NORM or member.threat != attack.threat:
            raise InputError(
                f"{type(member).__name__} under {member.threat} is no minimum-norm attack under"
                f" {attack.threat}"
            )
