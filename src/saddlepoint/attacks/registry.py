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

from saddlepoint.attacks.core.contract import Attack
from saddlepoint.attacks.fixed_budget.apgd import APGD
from saddlepoint.attacks.fixed_budget.mi_fgsm import MIFGSM
from saddlepoint.attacks.fixed_budget.nine_defences import report_pgd
from saddlepoint.attacks.fixed_budget.noise import UniformNoise
from saddlepoint.attacks.fixed_budget.pgd import BIM, FGSM, PGD
from saddlepoint.attacks.fixed_budget.square import Square
from saddlepoint.attacks.minimum_norm.alma import ALMA
from saddlepoint.attacks.minimum_norm.carlini_wagner.l0 import CarliniWagnerL0
from saddlepoint.attacks.minimum_norm.carlini_wagner.l2 import CarliniWagnerL2
from saddlepoint.attacks.minimum_norm.carlini_wagner.linf import CarliniWagnerLinf
from saddlepoint.attacks.minimum_norm.ddn import DDN
from saddlepoint.attacks.minimum_norm.deepfool import DeepFool
from saddlepoint.attacks.minimum_norm.ead import EAD
from saddlepoint.attacks.minimum_norm.fab import FAB
from saddlepoint.attacks.minimum_norm.fmn import FMN
from saddlepoint.attacks.minimum_norm.hopskipjump import HopSkipJump
from saddlepoint.attacks.minimum_norm.jsma import JSMA
from saddlepoint.attacks.minimum_norm.lbfgs import LBFGS
from saddlepoint.attacks.minimum_norm.pdpgd import PDGD, PDPGD
from saddlepoint.attacks.minimum_norm.sigma_zero import SigmaZero
from saddlepoint.attacks.wrappers.at_budget import at_budget
from saddlepoint.attacks.wrappers.portfolio import portfolio
from saddlepoint.counts import check_sizes
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

    @property
    def minimum_norm(self) -> bool:
        """Whether it reports a distance instead of taking a budget."""
        return self.kind.startswith("minimum norm")


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
                "apgd", APGD, "fixed budget", _FIRST_ORDER, "steps × restarts (100 × 1) each way",
                "Croce and Hein 2020, arXiv:2003.01690; L1 2021, arXiv:2103.01208",
            ),
            AttackInfo(
                "square", Square, "fixed budget, gradient-free", ("linf", "l2"),
                "queries (5000) forward", "Andriushchenko et al. 2020, arXiv:1912.00049",
            ),
            AttackInfo(
                "uniform-noise", UniformNoise, "fixed budget, gradient-free", (*_FIRST_ORDER, "l0"),
                "draws (100) forward", "the control: random search",
            ),
            AttackInfo(
                "deepfool", DeepFool, "minimum norm", ("linf", "l2"),
                "a few steps, each 1 forward and min(k, classes) − 1 (9) backward",
                "Moosavi-Dezfooli et al. 2016, arXiv:1511.04599",
            ),
            AttackInfo(
                "fab", FAB, "minimum norm", _FIRST_ORDER,
                "2 forward and min(k, classes − 1) (10) backward per step (100); targeted 2 and 1 per target",
                "Croce and Hein 2020, arXiv:1907.02044",
            ),
            AttackInfo(
                "cw-l2", CarliniWagnerL2, "minimum norm", ("l2",),
                "up to searches × steps (9 × 1000) each way, some 260 as a rule",
                "Carlini and Wagner 2017, arXiv:1608.04644",
            ),
            AttackInfo(
                "cw-l0", CarliniWagnerL0, "minimum norm", ("l0",),
                "an L2 attack for each pixel set, some 2000 each way",
                "Carlini and Wagner 2017, arXiv:1608.04644",
            ),
            AttackInfo(
                "cw-linf", CarliniWagnerLinf, "minimum norm", ("linf",),
                "a descent for each threshold, some 2000 each way",
                "Carlini and Wagner 2017, arXiv:1608.04644",
            ),
            AttackInfo(
                "ead", EAD, "minimum norm", ("l1",), "some 350 each way",
                "Chen et al. 2018, arXiv:1709.04114",
            ),
            AttackInfo(
                "ddn", DDN, "minimum norm", ("l2",), "steps (100) each way, 12 forward",
                "Rony et al. 2019, arXiv:1811.09600",
            ),
            AttackInfo(
                "fmn", FMN, "minimum norm", (*_FIRST_ORDER, "l0"),
                "steps (100) each way, 11 forward", "Pintor et al. 2021, arXiv:2102.12827",
            ),
            AttackInfo(
                "alma", ALMA, "minimum norm", ("l2", "l1"), "steps (1000) each way",
                "Rony et al. 2021, arXiv:2011.11857",
            ),
            AttackInfo(
                "pdgd", PDGD, "minimum norm", ("l2",), "steps (1000) each way",
                "Matyasko and Chau 2021, arXiv:2106.01538",
            ),
            AttackInfo(
                "pdpgd", PDPGD, "minimum norm", (*_FIRST_ORDER, "l0"), "steps (1000) each way",
                "Matyasko and Chau 2021, arXiv:2106.01538",
            ),
            AttackInfo(
                "sigma-zero", SigmaZero, "minimum norm", ("l0",),
                "steps (1000) each way, up to 63 forward",
                "Cinà et al. 2025, arXiv:2402.01879",
            ),
            AttackInfo(
                "jsma", JSMA, "minimum norm", ("l0",),
                "1 forward and 2 backward (probabilities: 1) per pair",
                "Papernot et al. 2016, arXiv:1511.07528",
            ),
            AttackInfo(
                "l-bfgs", LBFGS, "minimum norm", ("l2",),
                "some 100 to 300 each way", "Szegedy et al. 2014, arXiv:1312.6199",
            ),
            AttackInfo(
                "portfolio", portfolio, "minimum norm", (*_FIRST_ORDER, "l0"), "passes (2000)",
                "several of the above, the nearest counts",
            ),
            AttackInfo(
                "hop-skip-jump", HopSkipJump, "minimum norm, gradient-free", ("linf", "l2"),
                "about 18,000 forward (40 steps)", "Chen et al. 2020, arXiv:1904.02144",
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
    if ATTACKS[name].minimum_norm and isinstance(threat, NormBall | Rescaled):
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
        found = TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        expected = error.errors()[0]["msg"].lower()
        raise InputError(f"{attack}: {field} is {repr(value)[:60]}: {expected}") from None
    check_sizes(f"{attack}: {field}", found)
    return found
