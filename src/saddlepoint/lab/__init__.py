"""The attack lab: controlled experiments from the papers, each a function with frozen findings."""

from __future__ import annotations

from saddlepoint.lab.accuracy_against_eps import (
    AccuracyAgainstEps,
    BudgetSettings,
    SmallestBudgets,
    accuracy_against_eps,
)
from saddlepoint.lab.adversarial_logistic import (
    AdversarialLogistic,
    LogisticPath,
    LogisticSettings,
    run_logistic,
)
from saddlepoint.lab.alignment import Alignment, AlignmentSettings, alignment
from saddlepoint.lab.attention_cost import AttentionCost, CostSettings, attention_cost
from saddlepoint.lab.attention_scale import AttentionScale, ScaleSettings, attention_scale
from saddlepoint.lab.bench import Bench, small_network
from saddlepoint.lab.capacity import CapacitySettings, run_capacity
from saddlepoint.lab.capacity_found import Capacity
from saddlepoint.lab.constant_c import ConstantC, ConstantSettings, constant_c
from saddlepoint.lab.controls import Controls, ControlSettings, Measurement, run_controls
from saddlepoint.lab.discrete_game import (
    best_discriminator,
    fitted_discriminator,
    jensen_shannon,
    value_of,
)
from saddlepoint.lab.distillation import (
    Blow,
    DistillationFindings,
    DistillationSettings,
    Measured,
    run_distillation,
)
from saddlepoint.lab.distillation_jsma import (
    JsmaCase,
    JsmaFindings,
    JsmaSettings,
    LogitCase,
    run_jsma,
)
from saddlepoint.lab.distillation_transfer import (
    DistillationTransfer,
    DistillationTransferSettings,
    run_distillation_transfer,
)
from saddlepoint.lab.embedding_robustness import (
    EmbeddingRobustness,
    EmbeddingSettings,
    embedding_robustness,
)
from saddlepoint.lab.experiment import Experiment, Findings, PerModel, Settings, per_model
from saddlepoint.lab.fgsm_ray import FgsmRay, RaySettings, fgsm_ray
from saddlepoint.lab.gan_game import GameFindings, GameSettings, run_gan_game
from saddlepoint.lab.gan_toy import ToyFindings, ToySettings, run_gan_toy
from saddlepoint.lab.l2_overestimate import (
    L2Overestimate,
    OverestimateSettings,
    l2_distances,
    run_l2_overestimate,
)
from saddlepoint.lab.landscape import LandscapeSettings, LossLandscape, landscape
from saddlepoint.lab.line_game import LineRecord, play_on_line
from saddlepoint.lab.linear_example import LinearExample, LinearSettings, linear_example, run_linear
from saddlepoint.lab.lowest_bit import BitSettings, LowestBits, SmallestBits, lowest_bit
from saddlepoint.lab.mae_decoder import DecoderSettings, run_mae_decoder
from saddlepoint.lab.mae_interpolation import InterpolationSettings, run_mae_interpolation
from saddlepoint.lab.mae_labels import LabelSettings, run_mae_labels
from saddlepoint.lab.mae_robust import RobustSettings, run_mae_robust
from saddlepoint.lab.norms_on_lengths import LengthSettings, NormsOnLengths, norms_on_lengths
from saddlepoint.lab.objectives import (
    CaseStatistics,
    ObjectiveComparison,
    ObjectiveSettings,
    compare_objectives,
)
from saddlepoint.lab.registry import EXPERIMENTS
from saddlepoint.lab.regularisation import RegularisationSettings, run_regularisation
from saddlepoint.lab.regularisation_findings import Regularisation
from saddlepoint.lab.saturation import Saturation, saturation
from saddlepoint.lab.segments import Segments, SegmentSettings, segments
from saddlepoint.lab.synthetic_digits import (
    NearestImages,
    SyntheticDigits,
    SyntheticSettings,
    synthetic_digits,
)
from saddlepoint.lab.table import Table
from saddlepoint.lab.transfer_confidence import (
    TransferConfidence,
    TransferOutcome,
    TransferSettings,
    run_transfer,
    transfer_confidence,
)
from saddlepoint.lab.transfer_table import (
    TransferTable,
    TransferTableSettings,
    run_transfer_table,
    transfer_table,
)
from saddlepoint.lab.write import Written, write_experiment

__all__ = [
    "EXPERIMENTS",
    "AccuracyAgainstEps",
    "AdversarialLogistic",
    "Alignment",
    "AlignmentSettings",
    "AttentionCost",
    "AttentionScale",
    "Bench",
    "BitSettings",
    "Blow",
    "BudgetSettings",
    "Capacity",
    "CapacitySettings",
    "CaseStatistics",
    "ConstantC",
    "ConstantSettings",
    "ControlSettings",
    "Controls",
    "CostSettings",
    "DecoderSettings",
    "DistillationFindings",
    "DistillationSettings",
    "DistillationTransfer",
    "DistillationTransferSettings",
    "EmbeddingRobustness",
    "EmbeddingSettings",
    "Experiment",
    "FgsmRay",
    "Findings",
    "GameFindings",
    "GameSettings",
    "InterpolationSettings",
    "JsmaCase",
    "JsmaFindings",
    "JsmaSettings",
    "L2Overestimate",
    "LabelSettings",
    "LandscapeSettings",
    "LengthSettings",
    "LineRecord",
    "LinearExample",
    "LinearSettings",
    "LogisticPath",
    "LogisticSettings",
    "LogitCase",
    "LossLandscape",
    "LowestBits",
    "Measured",
    "Measurement",
    "NearestImages",
    "NormsOnLengths",
    "ObjectiveComparison",
    "ObjectiveSettings",
    "OverestimateSettings",
    "PerModel",
    "RaySettings",
    "Regularisation",
    "RegularisationSettings",
    "RobustSettings",
    "Saturation",
    "ScaleSettings",
    "SegmentSettings",
    "Segments",
    "Settings",
    "SmallestBits",
    "SmallestBudgets",
    "SyntheticDigits",
    "SyntheticSettings",
    "Table",
    "ToyFindings",
    "ToySettings",
    "TransferConfidence",
    "TransferOutcome",
    "TransferSettings",
    "TransferTable",
    "TransferTableSettings",
    "Written",
    "accuracy_against_eps",
    "alignment",
    "attention_cost",
    "attention_scale",
    "best_discriminator",
    "compare_objectives",
    "constant_c",
    "embedding_robustness",
    "fgsm_ray",
    "fitted_discriminator",
    "jensen_shannon",
    "l2_distances",
    "landscape",
    "linear_example",
    "lowest_bit",
    "norms_on_lengths",
    "per_model",
    "play_on_line",
    "run_capacity",
    "run_controls",
    "run_distillation",
    "run_distillation_transfer",
    "run_gan_game",
    "run_gan_toy",
    "run_jsma",
    "run_l2_overestimate",
    "run_linear",
    "run_logistic",
    "run_mae_decoder",
    "run_mae_interpolation",
    "run_mae_labels",
    "run_mae_robust",
    "run_regularisation",
    "run_transfer",
    "run_transfer_table",
    "saturation",
    "segments",
    "small_network",
    "synthetic_digits",
    "transfer_confidence",
    "transfer_table",
    "value_of",
    "write_experiment",
]
