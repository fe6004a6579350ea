"""The attacks by name, for the command line, for recipes and for lists; ours and others'."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, cast

from saddlepoint.attacks.core.contract import Attack, FixedBudget, MinimumNorm
from saddlepoint.attacks.core.kinds import FIXED_BUDGET, MINIMUM_NORM
from saddlepoint.attacks.fixed_budget.advgan import AdvGAN
from saddlepoint.attacks.fixed_budget.apgd import APGD
from saddlepoint.attacks.fixed_budget.latent import Latent
from saddlepoint.attacks.fixed_budget.margin_decomposition import MarginDecomposition
from saddlepoint.attacks.fixed_budget.mi_fgsm import MIFGSM
from saddlepoint.attacks.fixed_budget.noise import UniformNoise
from saddlepoint.attacks.fixed_budget.patch import PatchPGD
from saddlepoint.attacks.fixed_budget.pgd import BIM, FGSM, PGD, nine_defences_pgd
from saddlepoint.attacks.fixed_budget.sparse_rs import SparseRS
from saddlepoint.attacks.fixed_budget.square import Square
from saddlepoint.attacks.minimum_norm.alma import ALMA
from saddlepoint.attacks.minimum_norm.brendel_bethge import BrendelBethge
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
from saddlepoint.attacks.minimum_norm.manifold import Manifold
from saddlepoint.attacks.minimum_norm.pdpgd import PDGD, PDPGD
from saddlepoint.attacks.minimum_norm.sigma_zero import SigmaZero
from saddlepoint.attacks.wrappers.at_budget import AtBudget
from saddlepoint.attacks.wrappers.hard import Hard
from saddlepoint.attacks.wrappers.portfolio import Portfolio, portfolio
from saddlepoint.configuration import source_of
from saddlepoint.errors import InputError
from saddlepoint.option_values import parse_options
from saddlepoint.plugins import Registry, lacks, parameter_types, returned
from saddlepoint.threat import NORMS, Normed, ThreatModel, unlimited


@dataclass(frozen=True)
class AttackInfo:
    """What a list of attacks says of one; all of it is read from the class. `source` is the plug-in
    that brought it.

    >>> ATTACKS["pgd"].paper, ATTACKS["square"].kind
    ('Madry et al. 2018, arXiv:1706.06083', 'fixed budget, gradient-free')
    """

    name: str
    build: Callable[..., Attack]
    attack: type[FixedBudget] | type[MinimumNorm]
    paper: str
    cost: str
    source: str = ""

    @property
    def kind(self) -> str:
        """What it looks for, and whether without a gradient."""
        kind = MINIMUM_NORM if self.minimum_norm else FIXED_BUDGET
        return kind.name + (", gradient-free" if self.attack.gradient_free else "")

    @property
    def minimum_norm(self) -> bool:
        """Whether it reports a distance instead of taking a budget."""
        return issubclass(self.attack, MinimumNorm)

    @property
    def norms(self) -> tuple[str, ...]:
        """The names of its norms."""
        return tuple(name for name, ball in NORMS.items() if ball.norm_name in self.attack.norms)


def brought_attack(name: str, found: object) -> AttackInfo:
    """Return the entry of a plug-in: a class of an attack, or a function of the threat model that
    is annotated with the class that it returns.

    Raises `InputError` for what is neither, and says what it lacks.

    >>> brought_attack("mine.py:Mine", PGD).kind
    'fixed budget'
    >>> brought_attack("mine.py:Mine", dict)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: mine.py:Mine is no attack: ...
    """
    attack = found if isinstance(found, type) else returned(found)
    if not isinstance(attack, type) or not issubclass(attack, FixedBudget | MinimumNorm):
        raise InputError(
            f"{name} is no attack: give a subclass of FixedBudget or MinimumNorm, or a function"
            " (threat, …) that is annotated with the one it returns"
        )
    lacks(name, attack, {"perturb": ("batch", "tracker")})
    build = cast(Callable[..., Attack], found)
    if "threat" not in parameter_types(build):
        raise InputError(f"{name} takes no threat; give the function a parameter of that name")
    return AttackInfo(name, build, attack, attack.paper, attack.cost, source_of(found) or "")


_CLASSES: Mapping[str, type[FixedBudget] | type[MinimumNorm]] = {
    "fgsm": FGSM,
    "bim": BIM,
    "mi-fgsm": MIFGSM,
    "pgd": PGD,
    "nine-defences-pgd": PGD,
    "apgd": APGD,
    "md": MarginDecomposition,
    "patch": PatchPGD,
    "sparse-rs": SparseRS,
    "square": Square,
    "uniform-noise": UniformNoise,
    "advgan": AdvGAN,
    "latent": Latent,
    "hard": Hard,
    "deepfool": DeepFool,
    "fab": FAB,
    "cw-l2": CarliniWagnerL2,
    "cw-l0": CarliniWagnerL0,
    "cw-linf": CarliniWagnerLinf,
    "ead": EAD,
    "ddn": DDN,
    "fmn": FMN,
    "alma": ALMA,
    "pdgd": PDGD,
    "pdpgd": PDPGD,
    "sigma-zero": SigmaZero,
    "brendel-bethge": BrendelBethge,
    "jsma": JSMA,
    "l-bfgs": LBFGS,
    "portfolio": Portfolio,
    "hop-skip-jump": HopSkipJump,
    "manifold": Manifold,
}
# Those that a function builds, and what is said of them in place of the class's own.
_BUILDERS: Mapping[str, tuple[Callable[..., Attack], str, str]] = {
    "nine-defences-pgd": (
        nine_defences_pgd, "PGD as in the nine-defences report (Gaussian start, last iterate)",
        "steps (4) each way",
    ),
    "portfolio": (portfolio, Portfolio.paper, Portfolio.cost),
}  # fmt: skip

ALIASES: Mapping[str, str] = MappingProxyType({"report-pgd": "nine-defences-pgd"})
"""Earlier names, which work and are not listed."""

ATTACKS: Registry[AttackInfo] = Registry(
    "attack",
    {
        name: AttackInfo(name, build, attack, paper, cost)
        for name, attack in _CLASSES.items()
        for build, paper, cost in [_BUILDERS.get(name, (attack, attack.paper, attack.cost))]
    },
    brought_attack,
    group="saddlepoint.attacks",
    aliases=ALIASES,
)
"""Our attacks, and those that installed packages bring."""


def attack_info(name: str) -> AttackInfo:
    """Return what a list says of the attack of that name, an earlier one too, or of
    `FILE.py:NAME`, whose code is run.

    >>> attack_info("report-pgd").name
    'nine-defences-pgd'
    >>> attack_info("pgdd")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: unknown attack 'pgdd'; did you mean 'pgd'? (known: ...)
    """
    return ATTACKS.find(name)


def build_attack(
    name: str, threat: ThreatModel, options: Mapping[str, Any] | None = None
) -> Attack:
    """Return the attack of that name; options may be text, as a command line or a file gives them.

    A minimum-norm attack with a budget becomes a fixed-budget one, through `AtBudget`.

    Args:
        name: a key of `ATTACKS`, an earlier name, or `FILE.py:NAME`, whose code is run.
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
    info = attack_info(name)
    given = parse_options(name, options or {}, _options(info))
    if info.minimum_norm and isinstance(threat, Normed):
        attack = _built(info, threat.with_eps(math.inf), given)
        return attack if unlimited(threat) else AtBudget(attack, threat)
    return _built(info, threat, given)


def _built(info: AttackInfo, threat: ThreatModel, options: Mapping[str, Any]) -> Attack:
    attack = info.build(threat, **options)
    if not isinstance(attack, Attack):  # of somebody's function
        raise InputError(f"{info.name} returned {attack!r:.60}; return the attack")
    return attack


def option_types(name: str) -> dict[str, Any]:
    """Return the options of an attack and their types.

    >>> option_types("bim")["steps"]
    <class 'int'>
    """
    return _options(attack_info(name))


def _options(info: AttackInfo) -> dict[str, Any]:
    types = parameter_types(info.build)
    return {key: kind for key, kind in types.items() if key not in ("threat", "criterion")}
