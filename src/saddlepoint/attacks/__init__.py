"""Attacks: inner maximisation. One file per family; every result is judged."""

from __future__ import annotations

from saddlepoint.attacks.core.accepted import AcceptedAsOther, Rejecting
from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import Attack, FixedBudget, MinimumNorm
from saddlepoint.attacks.core.criteria import (
    Aimed,
    BinaryLogit,
    Criterion,
    Misclassified,
    OutsideTopK,
    Targeted,
    predict,
    tied,
)
from saddlepoint.attacks.core.criterion_words import parse_criterion
from saddlepoint.attacks.core.judge import judge
from saddlepoint.attacks.core.kinds import FIXED_BUDGET, MINIMUM_NORM
from saddlepoint.attacks.core.result import AttackResult
from saddlepoint.attacks.core.stages import Stages
from saddlepoint.attacks.core.targets import TargetsResult, attack_targets
from saddlepoint.attacks.core.ties import tie_note
from saddlepoint.attacks.core.tracker import Best, Last, Nearest, Tracker
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
from saddlepoint.attacks.registry import (
    ATTACKS,
    AttackInfo,
    attack_info,
    build_attack,
    option_types,
)
from saddlepoint.attacks.wrappers.at_budget import AtBudget
from saddlepoint.attacks.wrappers.bpda import BPDA
from saddlepoint.attacks.wrappers.closing_in import ClosingIn
from saddlepoint.attacks.wrappers.eight_bit import EightBit
from saddlepoint.attacks.wrappers.fast import Fast
from saddlepoint.attacks.wrappers.foreign import Foreign, foreign
from saddlepoint.attacks.wrappers.hard import Hard, hard
from saddlepoint.attacks.wrappers.portfolio import Portfolio, portfolio
from saddlepoint.attacks.wrappers.race import Race
from saddlepoint.attacks.wrappers.registry import WRAPPERS, wrapped
from saddlepoint.attacks.wrappers.restarted import Restarted
from saddlepoint.attacks.wrappers.shrinking_budget import ShrinkingBudget
from saddlepoint.attacks.wrappers.skip_gradient import SkipGradient
from saddlepoint.attacks.wrappers.smallest_budget import SmallestBudget
from saddlepoint.attacks.wrappers.smoothed import Smoothed
from saddlepoint.attacks.wrappers.straight_through import StraightThrough
from saddlepoint.attacks.wrappers.transfer import Transfer
from saddlepoint.model import backward_replaced

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
    "FIXED_BUDGET",
    "FMN",
    "JSMA",
    "LBFGS",
    "MIFGSM",
    "MINIMUM_NORM",
    "PDGD",
    "PDPGD",
    "PGD",
    "WRAPPERS",
    "AcceptedAsOther",
    "AdvGAN",
    "Aimed",
    "AtBudget",
    "Attack",
    "AttackInfo",
    "AttackResult",
    "Batch",
    "Best",
    "BinaryLogit",
    "BrendelBethge",
    "CarliniWagnerL0",
    "CarliniWagnerL2",
    "CarliniWagnerLinf",
    "ClosingIn",
    "Criterion",
    "DeepFool",
    "EightBit",
    "Fast",
    "FixedBudget",
    "Foreign",
    "Hard",
    "HopSkipJump",
    "Last",
    "Latent",
    "Manifold",
    "MarginDecomposition",
    "MinimumNorm",
    "Misclassified",
    "Nearest",
    "OutsideTopK",
    "PatchPGD",
    "Portfolio",
    "Race",
    "Rejecting",
    "Restarted",
    "ShrinkingBudget",
    "SigmaZero",
    "SkipGradient",
    "SmallestBudget",
    "Smoothed",
    "SparseRS",
    "Square",
    "Stages",
    "StraightThrough",
    "Targeted",
    "TargetsResult",
    "Tracker",
    "Transfer",
    "UniformNoise",
    "attack_info",
    "attack_targets",
    "backward_replaced",
    "build_attack",
    "foreign",
    "hard",
    "judge",
    "nine_defences_pgd",
    "option_types",
    "parse_criterion",
    "portfolio",
    "predict",
    "tie_note",
    "tied",
    "wrapped",
]
