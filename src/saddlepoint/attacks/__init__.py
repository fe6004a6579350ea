"""Attacks: inner maximisation. One file per family; every result is judged."""

from __future__ import annotations

from saddlepoint.attacks.alma import ALMA
from saddlepoint.attacks.apgd import APGD
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
    predict,
    tied,
)
from saddlepoint.attacks.cw_l0 import CarliniWagnerL0
from saddlepoint.attacks.cw_l2 import CarliniWagnerL2, published_cw_l2
from saddlepoint.attacks.cw_linf import CarliniWagnerLinf
from saddlepoint.attacks.ddn import DDN
from saddlepoint.attacks.deepfool import DeepFool
from saddlepoint.attacks.ead import EAD
from saddlepoint.attacks.fab import FAB
from saddlepoint.attacks.fmn import FMN
from saddlepoint.attacks.foreign import Foreign, foreign
from saddlepoint.attacks.hopskipjump import HopSkipJump
from saddlepoint.attacks.jsma import JSMA
from saddlepoint.attacks.judge import judge
from saddlepoint.attacks.keep import Best, Keeper, Last, Nearest
from saddlepoint.attacks.lattice import EightBit, eight_bit
from saddlepoint.attacks.lbfgs import LBFGS
from saddlepoint.attacks.mifgsm import MIFGSM
from saddlepoint.attacks.noise import UniformNoise
from saddlepoint.attacks.pdpgd import PDGD, PDPGD
from saddlepoint.attacks.pgd import BIM, FGSM, PGD
from saddlepoint.attacks.portfolio import Portfolio, portfolio
from saddlepoint.attacks.presets import report_pgd
from saddlepoint.attacks.race import Race
from saddlepoint.attacks.registry import ATTACKS, AttackInfo, build_attack, option_types
from saddlepoint.attacks.restarted import Restarted, restarted
from saddlepoint.attacks.result import AttackResult
from saddlepoint.attacks.sigma_zero import SigmaZero
from saddlepoint.attacks.smallest_budget import SmallestBudget, smallest_budget
from saddlepoint.attacks.square import Square
from saddlepoint.attacks.stages import Stages
from saddlepoint.attacks.targets import TargetsResult, attack_targets
from saddlepoint.attacks.ties import tie_note
from saddlepoint.attacks.transfer import Transfer, transfer

__all__ = [
    "ALMA",
    "APGD",
    "ATTACKS",
    "BIM",
    "BPDA",
    "DDN",
    "EAD",
    "FAB",
    "FGSM",
    "FMN",
    "JSMA",
    "LBFGS",
    "MIFGSM",
    "PDGD",
    "PDPGD",
    "PGD",
    "AtBudget",
    "Attack",
    "AttackInfo",
    "AttackResult",
    "Batch",
    "Best",
    "BinaryLogit",
    "CarliniWagnerL0",
    "CarliniWagnerL2",
    "CarliniWagnerLinf",
    "Criterion",
    "DeepFool",
    "EightBit",
    "Foreign",
    "HopSkipJump",
    "Keeper",
    "Last",
    "Misclassified",
    "Nearest",
    "OutsideTopK",
    "Portfolio",
    "Race",
    "Restarted",
    "SigmaZero",
    "SmallestBudget",
    "Square",
    "Stages",
    "Targeted",
    "TargetsResult",
    "Transfer",
    "UniformNoise",
    "at_budget",
    "attack_targets",
    "backward_replaced",
    "bpda",
    "build_attack",
    "eight_bit",
    "foreign",
    "judge",
    "option_types",
    "parse_criterion",
    "portfolio",
    "predict",
    "published_cw_l2",
    "report_pgd",
    "restarted",
    "smallest_budget",
    "tie_note",
    "tied",
    "transfer",
]
