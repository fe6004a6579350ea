"""Suites: named sequences of attacks, cheapest first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from saddlepoint.attacks.core.contract import Attack, MinimumNorm
from saddlepoint.attacks.core.forms import has_form
from saddlepoint.attacks.fixed_budget.apgd import APGD
from saddlepoint.attacks.fixed_budget.noise import UniformNoise
from saddlepoint.attacks.fixed_budget.patch import PatchPGD
from saddlepoint.attacks.fixed_budget.pgd import FGSM
from saddlepoint.attacks.fixed_budget.sparse_rs import SparseRS
from saddlepoint.attacks.fixed_budget.square import Square
from saddlepoint.attacks.minimum_norm.brendel_bethge import BrendelBethge
from saddlepoint.attacks.minimum_norm.fab import FAB
from saddlepoint.attacks.minimum_norm.fmn import FMN
from saddlepoint.attacks.minimum_norm.pdpgd import PDPGD
from saddlepoint.attacks.minimum_norm.sigma_zero import SigmaZero
from saddlepoint.attacks.registry import ATTACKS
from saddlepoint.attacks.wrappers.at_budget import AtBudget
from saddlepoint.attacks.wrappers.closing_in import ClosingIn
from saddlepoint.attacks.wrappers.fast import Fast
from saddlepoint.attacks.wrappers.portfolio import Portfolio, portfolio
from saddlepoint.attacks.wrappers.restarted import Restarted
from saddlepoint.errors import InputError, unknown
from saddlepoint.evaluation.suite_file import ENDINGS, read_suite
from saddlepoint.threat import Normed, ThreatModel, norm_of

Suite = Mapping[str, Attack]
"""Attacks by name, in the order in which they are run."""

SUITES: Mapping[str, str] = MappingProxyType(
    {
        "fast": "what standard finds, in about a twelfth of its passes: short runs of APGD on the"
        " targeted DLR and on differences of logits, Square where the gradient is 0",
        "quick": "FGSM, APGD-20 on the cross-entropy and on the margin: a first look",
        "standard": "AutoAttack's four: APGD-100 on the cross-entropy (in L1 × 5) and on the targeted"
        " DLR (9 targets, in L1 5), FAB-T (9 × 100), Square (5000 queries)",
        "thorough": "standard, then APGD-100 × 5 on the cross-entropy and × 5 on the DLR",
        "minimum-norm": "the nearest image that fools of every image, searched for once, and counted at"
        " every budget: a whole curve in one go",
        "rand": "AutoAttack's for models that are random: APGD-100 on the cross-entropy and on the"
        " DLR, each gradient the mean of 20 draws",
    }
)


def build_suite(name: str, threat: ThreatModel) -> Suite:
    """Return the attacks of a suite for a threat model: one of `SUITES`, or a YAML file (`read_suite`).

    A loss of logits, the margin or the DLR, is in every suite: the gradient of the cross-entropy
    vanishes for a confident model, and a robust accuracy that rests on it alone is too high. In a
    `Box` there is no FAB. "standard" is what robustness is compared by (Croce and Hein 2020,
    arXiv:2003.01690; L1 2021, arXiv:2103.01208), but that its cross-entropy is the log-odds, whose
    gradient does not vanish in float32; see `APGD`.

    >>> from saddlepoint.threat import L0, L1, Linf
    >>> list(build_suite("standard", Linf(8 / 255)))
    ['apgd', 'apgd-t', 'fab-t', 'square']
    >>> list(build_suite("standard", L0(20)))
    ['sigma-zero', 'fmn', 'brendel-bethge', 'sparse-rs']
    >>> build_suite("minimum-norm", Linf(8 / 255))["closing-in"].threat.eps  # whatever the budget
    inf
    >>> sparse = build_suite("standard", L1(12))
    >>> sparse["apgd"].restarts, sparse["apgd-t"].targets
    (5, 5)
    """
    if name.endswith(ENDINGS):
        return read_suite(Path(name), threat)
    if name not in SUITES:
        raise _unknown(name, threat)
    if name == "minimum-norm":
        return MappingProxyType(_nearest_suite(threat))
    if isinstance(threat, Normed) and threat.norm_name == "L0":
        return MappingProxyType(_sparse_suite(name, threat))
    if isinstance(threat, Normed) and threat.norm_name == "Patches":
        return MappingProxyType(_patch_suite(name, threat))
    if name == "fast":
        return MappingProxyType({"fast": Fast(threat)})
    if name == "quick":
        # Of twenty steps none is spent in larger balls.
        short = APGD(threat, steps=20, shrinking=False)
        margin = APGD(threat, steps=20, shrinking=False, loss="margin")
        return MappingProxyType({"fgsm": FGSM(threat), "apgd": short, "apgd-margin": margin})
    if name == "rand":
        log_odds = APGD(threat, eot_samples=20)
        dlr = APGD(threat, eot_samples=20, loss="dlr")
        return MappingProxyType({"apgd": log_odds, "apgd-dlr": dlr})
    sparse = norm_of(threat) == "L1"
    suite: dict[str, Attack] = {
        "apgd": APGD(threat, restarts=5 if sparse else 1),
        "apgd-t": APGD(threat, loss="dlr-targeted", targets=5 if sparse else 9),
    }
    if isinstance(threat, Normed) and has_form(FAB, threat):
        suite["fab-t"] = AtBudget(FAB(threat.with_eps(math.inf), targets=9), threat)
    if has_form(Square, threat):
        suite["square"] = Square(threat)
    if name == "thorough":
        suite["apgd-5"] = APGD(threat, restarts=5)
        suite["apgd-dlr-5"] = APGD(threat, restarts=5, loss="dlr")
    return MappingProxyType(suite)


def _nearest_suite(threat: ThreatModel) -> dict[str, Attack]:
    """Return the attack that tells of every budget."""
    if not isinstance(threat, Normed) or threat.norm_name not in MinimumNorm.norms:
        raise InputError(
            f"the suite minimum-norm needs Linf, L2, L1 or L0, not {threat}; take standard"
        )
    free = threat.with_eps(math.inf)
    if threat.norm_name == "L0":  # as "fast" first, then what finds others
        members = (SigmaZero(free, steps=300), *portfolio(free, passes=600).members)
        return {"portfolio": Portfolio(free, members=members)}
    return {"closing-in": ClosingIn(free, first=portfolio(free, passes=600), targets=4)}


def _sparse_suite(name: str, threat: Normed) -> dict[str, Attack]:
    """Return a suite in L0, where nothing ascends within a budget: minimum-norm attacks counted at it,
    and random search as the control.
    """
    if name == "rand":
        raise InputError("the suite rand has no L0 form; give eot_samples to standard")
    free = threat.with_eps(math.inf)

    def at_budget(attack: Attack) -> Attack:
        return AtBudget(attack, threat)

    if name in ("fast", "quick"):
        return {"sigma-zero": at_budget(SigmaZero(free, steps=300 if name == "fast" else 50))}
    suite = {
        "sigma-zero": at_budget(SigmaZero(free)),
        "fmn": at_budget(FMN(free)),
        "brendel-bethge": at_budget(BrendelBethge(free)),
        "sparse-rs": SparseRS(threat),
    }
    if name == "thorough":
        suite["sigma-zero-5"] = Restarted(at_budget(SigmaZero(free)), 5)
        suite["pdpgd"] = at_budget(PDPGD(free))
    return suite


def _patch_suite(name: str, threat: Normed) -> dict[str, Attack]:
    """Return a suite of patches: ever more ways of choosing them, and draws as the control."""
    if name == "rand":
        raise InputError("the suite rand has no form of patches; give eot_samples to standard")
    suite: dict[str, Attack] = {"patch": PatchPGD(threat, restarts=1 if name == "quick" else 3)}
    if name in ("fast", "quick"):
        return suite
    suite["patch-rounds"] = PatchPGD(threat, steps=80, rounds=4, chosen_by="gradient")
    suite["patch-random"] = PatchPGD(threat, restarts=5, chosen_by="random")
    suite["uniform-noise"] = UniformNoise(threat)
    if name == "thorough":
        suite["patch-20"] = PatchPGD(threat, steps=100, restarts=20)
    return suite


def _unknown(name: str, threat: ThreatModel) -> InputError:
    """Return the error for a name that is no suite's, with what may be meant."""
    if name.lower().replace("-", "").replace("_", "") in ("autoattack", "aa"):
        return InputError(f"unknown suite '{name}'; AutoAttack's four attacks are 'standard'")
    if name in ATTACKS.own:
        return InputError(
            f"'{name}' is an attack and no suite; give a mapping, {{'{name}': build_attack('{name}',"
            f" {threat})}}, or use `saddlepoint attack`"
        )
    return unknown("suite", name, SUITES)
