"""Attacks: inner maximisation. One file per family; every result is judged."""

from __future__ import annotations

from saddlepoint.attacks.base import Attack
from saddlepoint.attacks.batch import Batch
from saddlepoint.attacks.criteria import (
    BinaryLogit,
    Criterion,
    Misclassified,
    OutsideTopK,
    Targeted,
    parse_criterion,
)
from saddlepoint.attacks.judge import judge, predict
from saddlepoint.attacks.keep import Best, Keeper, Last, Nearest
from saddlepoint.attacks.mifgsm import MIFGSM
from saddlepoint.attacks.noise import UniformNoise
from saddlepoint.attacks.pgd import BIM, FGSM, PGD
from saddlepoint.attacks.presets import report_pgd
from saddlepoint.attacks.registry import ATTACKS, AttackInfo, build_attack, option_types
from saddlepoint.attacks.result import AttackResult

__all__ = [
    "ATTACKS",
    "BIM",
    "FGSM",
    "MIFGSM",
    "PGD",
    "Attack",
    "AttackInfo",
    "AttackResult",
    "Batch",
    "Best",
    "BinaryLogit",
    "Criterion",
    "Keeper",
    "Last",
    "Misclassified",
    "Nearest",
    "OutsideTopK",
    "Targeted",
    "UniformNoise",
    "build_attack",
    "judge",
    "option_types",
    "parse_criterion",
    "predict",
    "report_pgd",
]
