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
from saddlepoint.lab.controls import Controls, ControlSettings, Measured, run_controls
from saddlepoint.lab.experiment import Experiment, Findings, PerModel, per_model
from saddlepoint.lab.fgsm_ray import FgsmRay, RaySettings, fgsm_ray
from saddlepoint.lab.landscape import LandscapeSettings, LossLandscape, landscape
from saddlepoint.lab.linear_example import LinearExample, LinearSettings, linear_example, run_linear
from saddlepoint.lab.registry import EXPERIMENTS
from saddlepoint.lab.segments import Segments, SegmentSettings, segments
from saddlepoint.lab.table import Table

__all__ = [
    "EXPERIMENTS",
    "AccuracyAgainstEps",
    "AdversarialLogistic",
    "Alignment",
    "AlignmentSettings",
    "Bench",
    "BudgetSettings",
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
    "Measured",
    "PerModel",
    "RaySettings",
    "SegmentSettings",
    "Segments",
    "Table",
    "accuracy_against_eps",
    "alignment",
    "fgsm_ray",
    "landscape",
    "linear_example",
    "per_model",
    "run_controls",
    "run_linear",
    "run_logistic",
    "segments",
    "small_network",
]
