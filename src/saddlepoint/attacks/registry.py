"""The attacks by name, for the command line, for recipes and for lists."""

from __future__ import annotations

import inspect
import math
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import TypeAdapter, ValidationError

from saddlepoint.attacks.at_budget import at_budget
from saddlepoint.attacks.base import Attack
from saddlepoint.attacks.mifgsm import MIFGSM
from saddlepoint.attacks.noise import UniformNoise
from saddlepoint.attacks.pgd import BIM, FGSM, PGD
from saddlepoint.attacks.presets import report_pgd
from saddlepoint.errors import InputError, unknown
from saddlepoint.threat import NormBall, Rescaled, ThreatModel, parse_eps


@dataclass(frozen=True)
class AttackInfo:
    """What a list of attacks says of one.

    >>> ATTACKS["pgd"].paper
    'Madry et al. 2018, arXiv:1706.06083'
    """

    name: str
    build: Callable[..., Attack]
    kind: str
    norms: tuple[str, ...]
    passes: str
    paper: str


_FIRST_ORDER = ("linf", "l2", "l1")

ATTACKS: Mapping[str, AttackInfo] = MappingProxyType(
    {
        info.name: info
        for info in (
            AttackInfo(
                "fgsm", FGSM, "fixed budget", _FIRST_ORDER, "1 forward, 1 backward",
                "Goodfellow et al. 2015, arXiv:1412.6572",
            ),
            AttackInfo(
                "bim", BIM, "fixed budget", _FIRST_ORDER, "steps (10) each way",
                "Kurakin et al. 2017, arXiv:1607.02533",
            ),
            AttackInfo(
                "mi-fgsm", MIFGSM, "fixed budget", _FIRST_ORDER, "steps (10) each way",
                "Dong et al. 2018, arXiv:1710.06081",
            ),
            AttackInfo(
                "pgd", PGD, "fixed budget", _FIRST_ORDER, "steps × restarts (20 × 1) each way",
                "Madry et al. 2018, arXiv:1706.06083",
            ),
            AttackInfo(
                "report-pgd", report_pgd, "fixed budget", _FIRST_ORDER, "steps (4) each way",
                "PGD as in the report's Algorithm 1 (Gaussian start, last iterate)",
            ),
            AttackInfo(
                "uniform-noise", UniformNoise, "fixed budget, gradient-free", (*_FIRST_ORDER, "l0"),
                "draws (100) forward", "the control: random search",
            ),
        )
    }
)  # fmt: skip


def build_attack(
    name: str, threat: ThreatModel, options: Mapping[str, Any] | None = None
) -> Attack:
    """Return the attack of that name; options may be text, as a command line or a file gives them.

    A minimum-norm attack with a budget becomes a fixed-budget one, through `at_budget`.

    Args:
        name: a key of `ATTACKS`.
        threat: the threat model, with its budget.
        options: hyper-parameters by name; "2/255" is understood where a number is.

    Raises `InputError` for an unknown name or option, or a value of the wrong type.

    >>> from saddlepoint.threat import Linf
    >>> build_attack("pgd", Linf(8 / 255), {"steps": "40", "step_size": "2/255"}).steps
    40
    >>> build_attack("pgd", Linf(8 / 255), {"step": 40})
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: unknown option of pgd 'step'; did you mean 'steps'? (known: ...)
    """
    if name not in ATTACKS:
        raise unknown("attack", name, ATTACKS)
    build = ATTACKS[name].build
    types = option_types(name)
    given: dict[str, Any] = {}
    for key, value in (options or {}).items():
        field = key.replace("-", "_")
        if field not in types:
            raise unknown(f"option of {name}", key, types)
        given[field] = _convert(name, field, value, types[field])
    if getattr(build, "minimum_norm", False) and isinstance(threat, NormBall | Rescaled):
        attack = build(threat.with_eps(math.inf), **given)
        unlimited = isinstance(threat.eps, float) and math.isinf(threat.eps)
        return attack if unlimited else at_budget(attack, threat)
    return build(threat, **given)


def option_types(name: str) -> dict[str, Any]:
    """Return the options of an attack and their types.

    >>> option_types("bim")["steps"]
    <class 'int'>
    """
    build = ATTACKS[name].build
    hints = typing.get_type_hints(build)
    names = inspect.signature(build).parameters
    return {key: hints[key] for key in names if key not in ("threat", "criterion")}


def _convert(attack: str, field: str, value: Any, kind: Any) -> Any:
    if isinstance(value, str) and "/" in value:
        value = parse_eps(value)
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        expected = error.errors()[0]["msg"].lower()
        raise InputError(f"{attack}: {field} is {value!r}: {expected}") from None
