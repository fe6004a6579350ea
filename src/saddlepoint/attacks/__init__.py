"""Attacks: inner maximisation. One file per family; every result is judged."""

from __future__ import annotations

from saddlepoint.attacks.at_budget import AtBudget, at_budget
from saddlepoint.attacks.base import Attack
from saddlepoint.attacks.batch import Batch
from saddlepoint.attacks.bpda import BPDA, backward_replaced, bpda
from saddlepoint.attacks.criteria import (
    BinaryLogit,
    Criterion,
    Misclassified,
    OutsideTopK,
    Targeted,
    parse_criterion,
)
from saddlepoint.attacks.foreign import Foreign, foreign
from saddlepoint.attacks.judge import judge, predict
from saddlepoint.attacks.keep import Best, Keeper, Last, Nearest
from saddlepoint.attacks.mifgsm import MIFGSM
from saddlepoint.attacks.noise import UniformNoise
from saddlepoint.attacks.pgd import BIM, FGSM, PGD
from saddlepoint.attacks.presets import report_pgd
from saddlepoint.attacks.registry import ATTACKS, AttackInfo, build_attack, option_types
from saddlepoint.attacks.restarted import Restarted, restarted
from saddlepoint.attacks.result import AttackResult
from saddlepoint.attacks.smallest_budget import SmallestBudget, smallest_budget

__all__ = [
    "ATTACKS",
    "BIM",
    "BPDA",
    "FGSM",
    "MIFGSM",
    "PGD",
    "AtBudget",
    "Attack",
    "AttackInfo",
    "AttackResult",
    "Batch",
    "Best",
    "BinaryLogit",
    "Criterion",
    "Foreign",
    "Keeper",
    "Last",
    "Misclassified",
    "Nearest",
    "OutsideTopK",
    "Restarted",
    "SmallestBudget",
    "Targeted",
    "UniformNoise",
    "at_budget",
    "backward_replaced",
    "bpda",
    "build_attack",
    "foreign",
    "judge",
    "option_types",
    "parse_criterion",
    "predict",
    "report_pgd",
    "restarted",
    "smallest_budget",
]
