"""Every attack with the settings that the oracles hold it to, and what it finds on their cases."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from typing import Any

import torch
from oracles import NORMS, Cases, cases
from torch import Tensor

from saddlepoint.attacks import (
    ALMA,
    APGD,
    BIM,
    DDN,
    EAD,
    FAB,
    FGSM,
    FMN,
    JSMA,
    LBFGS,
    MIFGSM,
    PDGD,
    PDPGD,
    PGD,
    Attack,
    AttackResult,
    BrendelBethge,
    CarliniWagnerL0,
    CarliniWagnerL2,
    CarliniWagnerLinf,
    DeepFool,
    Hard,
    HopSkipJump,
    MarginDecomposition,
    Restarted,
    SigmaZero,
    SparseRS,
    Square,
    UniformNoise,
)
from saddlepoint.threat import L0, L1, L2, Linf

BALLS = {"L0": L0, "L1": L1, "L2": L2, "Linf": Linf}


@dataclass(frozen=True)
class Entry:
    """An attack: its class and its options; `per_norm` are those of one norm alone, and
    `quick` those of the short run, which asks of it that it be sound and not that it be near.
    `restarts` are those on networks with local optima, a quarter of them in the short run.
    """

    kind: type[Attack]
    options: dict[str, Any] = field(default_factory=dict)
    per_norm: dict[str, dict[str, Any]] = field(default_factory=dict)
    quick: dict[str, Any] = field(default_factory=dict)
    restarts: int = 1

    @property
    def norms(self) -> tuple[str, ...]:
        return tuple(norm for norm in NORMS if norm in self.kind.norms)

    def build(self, norm: str, **more: Any) -> Attack:
        options = self.options | self.per_norm.get(norm, {}) | more
        return self.kind(BALLS[norm](), **options)


FIXED = {
    "apgd": Entry(APGD, {"steps": 50, "restarts": 20, "loss": "margin"}),
    "fgsm": Entry(FGSM),
    "bim": Entry(BIM, {"steps": 40}),
    "mi-fgsm": Entry(MIFGSM, {"steps": 40}),
    "md": Entry(MarginDecomposition, {"restarts": 20}),
    "pgd": Entry(PGD, {"steps": 50, "restarts": 20, "loss": "margin"}),
    "square": Entry(Square, {"queries": 200}),
    "sparse-rs": Entry(SparseRS, {"queries": 200}),
    "noise": Entry(UniformNoise),
    "hard": Entry(Hard, {"passes": 500, "starts": 2, "steps": 20}),
}

MINIMUM = {
    "alma": Entry(ALMA, {"steps": 500}, quick={"steps": 100}, restarts=20),
    "brendel-bethge": Entry(BrendelBethge, {"radius": 0.05}, restarts=4),
    "cw-l0": Entry(CarliniWagnerL0, {"steps": 200}, quick={"steps": 20}, restarts=4),
    "cw-l2": Entry(CarliniWagnerL2, quick={"steps": 100, "searches": 3}, restarts=20),
    "ead": Entry(EAD),
    "cw-linf": Entry(CarliniWagnerLinf, quick={"steps": 40, "rounds": 5}, restarts=4),
    "ddn": Entry(DDN, {"steps": 300}, restarts=10),
    "deepfool": Entry(DeepFool, restarts=10),
    "fab": Entry(FAB, restarts=10),
    "fmn": Entry(FMN, {"steps": 300}, restarts=20),
    "hopskipjump": Entry(HopSkipJump, {"steps": 20}, quick={"steps": 3}),
    "lbfgs": Entry(LBFGS, quick={"searches": 3}),
    "jsma": Entry(JSMA, {"max_changed": 1.0}),
    "pdgd": Entry(PDGD, {"steps": 300}, quick={"steps": 100}, restarts=10),
    "pdpgd": Entry(PDPGD, {"steps": 500}, restarts=10),
    "sigma-zero": Entry(SigmaZero, {"steps": 300}),
}

PAIRS = {
    kind: [(name, norm) for name, entry in table.items() for norm in entry.norms]
    for kind, table in (("fixed", FIXED), ("minimum", MINIMUM))
}


@functools.cache
def found(name: str, norm: str, kind: str, networks: int, targeted: bool = False) -> Tensor:
    """Return the distances that a minimum-norm attack reports on the cases of an oracle."""
    entry = MINIMUM[name]
    attack = entry.build(norm, **(entry.quick if networks == 1 else {}))
    if kind == "relu" and not targeted:
        attack = Restarted(attack, entry.restarts if networks > 1 else max(1, entry.restarts // 4))
    return torch.cat([run(attack, case, targeted).distance for case in cases(kind, networks)])


def fooled(
    attack: Attack, norm: str, factor: float, kind: str, networks: int, targeted: bool = False
) -> Tensor:
    """Return where a fixed-budget attack succeeds at `factor` times the optimum; in L0, where the
    optimum is a count, at one feature less (factor < 1) or as many.
    """
    successes = []
    for case in cases(kind, networks):
        best = (case.targeted if targeted else case.optimum)[norm]
        best = best.clamp_max(1e3)  # where there is nothing to find, any budget is too small
        eps = best * factor if norm != "L0" else best - int(factor < 1)
        successes.append(run(attack, case, targeted, eps=eps).success)
    return torch.cat(successes)


def run(attack: Attack, case: Cases, targeted: bool = False, **more: Any) -> AttackResult:
    targets = case.targets if targeted else None
    return attack(case.net, case.images, case.labels, targets, **more)


def optimum(norm: str, kind: str, networks: int, targeted: bool = False) -> Tensor:
    """Return the oracle's distances, in the order of `found` and `fooled`."""
    some = cases(kind, networks)
    return torch.cat([(case.targeted if targeted else case.optimum)[norm] for case in some])


def excess(distance: Tensor, best: Tensor, norm: str) -> Tensor:
    """Return how much farther than the optimum: a ratio, in L0 a difference; where there is
    nothing to find, finding nothing is right.
    """
    if norm == "L0":
        return torch.where(best.isinf() & distance.isinf(), 0.0, distance - best)
    return torch.where(best.isinf() & distance.isinf(), 1.0, distance / best)


def worst(values: Tensor, count: int = 5) -> str:
    """Say which instances are worst, for a failing assertion."""
    order = values.nan_to_num(math.inf).argsort(descending=True)[:count]
    return ", ".join(f"#{int(i)}: {float(values[i]):.4f}" for i in order)
