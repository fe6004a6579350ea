"""The versions of AutoAttack: which attacks, with which settings (Croce and Hein 2020,
arXiv:2003.01690).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from saddlepoint.attacks import APGD, ATTACKS, FAB, AtBudget, Attack, Square, build_attack
from saddlepoint.errors import InputError, unknown
from saddlepoint.evaluation.suites import SUITES, build_suite
from saddlepoint.threat import NormBall, counted, norm_of

THEIRS = ("apgd-ce", "apgd-dlr", "apgd-t", "fab", "fab-t", "square")
VERSIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "standard": ("apgd-ce", "apgd-t", "fab-t", "square"),
        "plus": ("apgd-ce", "apgd-dlr", "fab", "square", "apgd-t", "fab-t"),
        "rand": ("apgd-ce", "apgd-dlr"),
        "custom": (),
    }
)
SETTINGS: Mapping[str, Mapping[str, float]] = {
    "apgd": {"n_restarts": 5, "n_iter": 100, "eot_iter": 1, "rho": 0.75},
    "apgd_targeted": {
        "n_restarts": 1, "n_iter": 100, "eot_iter": 1, "rho": 0.75, "n_target_classes": 9,
    },
    "fab": {"n_restarts": 5, "n_iter": 100, "n_target_classes": 9},
    "square": {"n_queries": 5000, "p_init": 0.8},
}  # fmt: skip


class Settings:
    """The settings of one attack by AutoAttack's names; another name is refused.

    >>> settings = Settings("square", n_queries=5000)
    >>> settings.n_queries = 100
    >>> settings.queries = 100
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: square.queries is not here; there is n_queries
    """

    def __init__(self, attack: str, **values: Any) -> None:
        vars(self).update(values, _attack=attack)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in vars(self) or name == "_attack":
            known = ", ".join(each for each in vars(self) if each != "_attack")
            raise InputError(f"{vars(self)['_attack']}.{name} is not here; there is {known}")
        vars(self)[name] = value

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{vars(self).get('_attack')} has no {name}")


def version_of(version: str, threat: NormBall) -> tuple[dict[str, Settings], list[str]]:
    """Return the settings of a version, and the names of its attacks.

    >>> from saddlepoint.threat import L1
    >>> settings, names = version_of("standard", L1(12))
    >>> settings["apgd"].n_restarts, settings["apgd_targeted"].n_target_classes, names
    (5, 5, ['apgd-ce', 'apgd-t', 'fab-t', 'square'])
    """
    if not isinstance(version, str):
        raise InputError(f"version is {version!r}; give a name, as 'standard'")
    settings = {name: Settings(name, **values) for name, values in SETTINGS.items()}
    if version in SUITES and version not in VERSIONS:
        return settings, list(build_suite(version, threat))
    if version not in VERSIONS:
        raise unknown("version", version, (*VERSIONS, *(n for n in SUITES if n not in VERSIONS)))
    if counted(threat):
        raise InputError(f"AutoAttack has no {norm_of(threat)}; it takes Linf, L2, L1")
    if version == "standard":
        settings["fab"].n_restarts = 1
        if norm_of(threat) == "L1":
            settings["apgd_targeted"].n_target_classes = 5
        else:
            settings["apgd"].n_restarts = 1
    if version == "rand":
        settings["apgd"].n_restarts, settings["apgd"].eot_iter = 1, 20
    return settings, list(VERSIONS[version])


def attack_of(
    name: str, threat: NormBall, settings: Mapping[str, Settings], version: str
) -> Attack:
    """Return the attack that goes by `name`: in the suite of ours that `version` is, in AutoAttack,
    or among ours.

    >>> from saddlepoint.threat import Linf
    >>> settings, *_ = version_of("rand", Linf(0.1))
    >>> attack_of("apgd-dlr", Linf(0.1), settings, "rand").eot_samples
    20
    """
    if version not in VERSIONS and name in (own := build_suite(version, threat)):
        return own[name]
    if name not in THEIRS:
        if name not in ATTACKS:
            raise unknown("attack", name, (*THEIRS, *ATTACKS))
        return build_attack(name, threat)
    apgd = settings["apgd_targeted" if name == "apgd-t" else "apgd"]
    if name.startswith("apgd"):
        attack = APGD(
            threat,
            steps=apgd.n_iter,
            restarts=apgd.n_restarts,
            rho=apgd.rho,
            eot_samples=apgd.eot_iter,
        )
        if name == "apgd-t":
            return replace(attack, loss="dlr-targeted", targets=apgd.n_target_classes)
        return replace(attack, loss="dlr") if name == "apgd-dlr" else attack
    if name == "square":
        square = settings["square"]
        return Square(threat, queries=square.n_queries, p=square.p_init)
    fab = settings["fab"]
    far = threat.with_eps(math.inf)
    if name == "fab-t":  # which AutoAttack runs once, whatever is set
        return AtBudget(FAB(far, steps=fab.n_iter, targets=fab.n_target_classes), threat)
    return AtBudget(FAB(far, steps=fab.n_iter, restarts=fab.n_restarts), threat)
