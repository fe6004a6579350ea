"""The attack lab: controlled experiments from the papers, each a function with frozen findings."""

from __future__ import annotations

from saddlepoint.lab.adversarial_logistic import (
    AdversarialLogistic,
    LogisticPath,
    LogisticSettings,
    run_logistic,
)
from saddlepoint.lab.alignment import Alignment, AlignmentSettings, alignment
from saddlepoint.lab.bench import Bench, small_network
from saddlepoint.lab.budgets import (
    AccuracyAgainstEps,
    BudgetSettings,
    Fooled,
    accuracy_against_eps,
)
from saddlepoint.lab.constant_c import ConstantC, ConstantSettings, constant_c
from saddlepoint.lab.controls import Controls, ControlSettings, Measured, run_controls
from saddlepoint.lab.experiment import Experiment, Findings, PerModel, per_model
from saddlepoint.lab.fgsm_ray import FgsmRay, RaySettings, fgsm_ray
from saddlepoint.lab.landscape import LandscapeSettings, LossLandscape, landscape
from saddlepoint.lab.linear_example import LinearExample, LinearSettings, linear_example, run_linear
from saddlepoint.lab.lowest_bit import Bits, BitSettings, LowestBits, lowest_bit
from saddlepoint.lab.objectives import Case, Objectives, ObjectiveSettings, compare_objectives
from saddlepoint.lab.registry import EXPERIMENTS
from saddlepoint.lab.segments import Segments, SegmentSettings, segments
from saddlepoint.lab.synthetic_digits import (
    Synthetic,
    SyntheticDigits,
    SyntheticSettings,
    synthetic_digits,
)
from saddlepoint.lab.table import Table
from saddlepoint.lab.transfer_confidence import (
    Offered,
    TransferConfidence,
    TransferSettings,
    run_transfer,
    transfer_confidence,
)

__all__ = [
    "EXPERIMENTS",
    "AccuracyAgainstEps",
    "AdversarialLogistic",
    "Alignment",
    "AlignmentSettings",
    "Bench",
    "BitSettings",
    "Bits",
    "BudgetSettings",
    "Case",
    "ConstantC",
    "ConstantSettings",
    "ControlSettings",
    "Controls",
    "Experiment",
    "FgsmRay",
    "Findings",
    "Fooled",
    "LandscapeSettings",
    "LinearExample",
    "LinearSettings",
    "LogisticPath",
    "LogisticSettings",
    "LossLandscape",
    "LowestBits",
    "Measured",
    "ObjectiveSettings",
    "Objectives",
    "Offered",
    "PerModel",
    "RaySettings",
    "SegmentSettings",
    "Segments",
    "Synthetic",
    "SyntheticDigits",
    "SyntheticSettings",
    "Table",
    "TransferConfidence",
    "TransferSettings",
    "accuracy_against_eps",
    "alignment",
    "compare_objectives",
    "constant_c",
    "fgsm_ray",
    "landscape",
    "linear_example",
    "lowest_bit",
    "per_model",
    "run_controls",
    "run_linear",
    "run_logistic",
    "run_transfer",
    "segments",
    "small_network",
    "synthetic_digits",
    "transfer_confidence",
]
