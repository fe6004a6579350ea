"""What every attack made of another one shares."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

from saddlepoint.attacks.core.contract import Attack
from saddlepoint.attacks.core.criteria import Criterion
from saddlepoint.attacks.core.kinds import Kind
from saddlepoint.errors import InputError
from saddlepoint.option_values import Count
from saddlepoint.threat import ThreatModel, norm_of

INHERIT: Any = ...
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
    threat: ThreatModel = field(default=INHERIT, kw_only=True)
    criterion: Criterion = INHERIT
    stop: Literal["success", "never"] = INHERIT
    keep: Literal["best", "last"] = INHERIT
    eot_samples: Count = INHERIT
    autocast: Literal["bf16"] | None = INHERIT
    compile: bool = INHERIT

    norms: ClassVar[tuple[str, ...]] = Attack.norms

    def __post_init__(self) -> None:
        if not isinstance(self.attack, Attack):
            raise InputError(
                f"{self.attack!r} is no attack; for one of another library see `foreign`"
            )
        self._inherit(**{name: getattr(self.attack, name) for name in _CONTRACT})
        super().__post_init__()
        norms = norm_of(self.attack.threat), norm_of(self.threat)
        if norms[0] != norms[1]:
            raise InputError(f"the attack measures {norms[0]} and the budget is in {norms[1]}")

    def _inherit(self, **values: Any) -> None:
        """Give the fields these values where nobody gave them any."""
        for name, value in values.items():
            if getattr(self, name) is INHERIT:
                object.__setattr__(self, name, value)

    @property
    def kind(self) -> Kind:
        """What the attack inside looks for."""
        return self.attack.kind

    @property
    def expected_steps(self) -> int:
        """The passes of the attack inside; see `Attack`."""
        return self.attack.expected_steps
