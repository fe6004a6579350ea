"""What an evaluation is asked for: budgets and attacks, from any form that a caller gives them in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from saddlepoint.attacks import Attack
from saddlepoint.errors import InputError
from saddlepoint.evaluation.suites import Suite, build_suite
from saddlepoint.threat import Linf, Normed, ThreatModel, parse_eps


def attacks_of(suite: str | Suite, threat: ThreatModel) -> Suite:
    """Return the attacks of a suite; raises `InputError` where there are none.

    >>> list(attacks_of("quick", Linf(0.1)))
    ['fgsm', 'apgd', 'apgd-margin']
    """
    attacks = build_suite(suite, threat) if isinstance(suite, str) else suite
    if not attacks:
        raise InputError("the suite is empty; give at least one attack")
    for name, attack in attacks.items():
        if not isinstance(attack, Attack):
            raise InputError(f"{name} of the suite is {attack!r}; give an attack, as PGD({threat})")
    return attacks


def budgets_of(
    threat: ThreatModel, eps: float | str | Sequence[float | str] | None
) -> list[ThreatModel]:
    """Return a threat model per budget, ascending; raises `InputError` for budgets none can mean.

    >>> [each.eps for each in budgets_of(Linf(), ["2/255", 0.0])]
    [0.0, 0.00784313725490196]
    """
    if isinstance(threat, type) or not isinstance(threat, ThreatModel):
        raise InputError(
            f"the threat is {threat!r:.60}; give a norm's name, such as 'Linf', or a threat model, such"
            " as Linf(8/255)"
        )
    threats: list[ThreatModel] = [threat]
    if eps is not None:
        if not isinstance(threat, Normed):
            raise InputError(f"a {threat} has no eps; leave eps out")
        several = [eps] if isinstance(eps, str) or not isinstance(eps, Iterable) else [*eps]
        if not several:
            raise InputError("eps is empty; give at least one budget")
        threats = [threat.with_eps(each) for each in sorted({parse_eps(each) for each in several})]
    for each in threats:
        if isinstance(each, Linf):  # the width of the other balls depends on the images' shape
            each.check_width()
    return threats
