"""What a step of training minimises: the contract, and objectives that are no defence."""

from __future__ import annotations

from saddlepoint.objectives.adversarial_mae import AdversarialMAE
from saddlepoint.objectives.contract import (
    PART_FILES,
    Running,
    Standing,
    StepOutput,
    TrainingBatch,
    TrainingObjective,
    is_classification,
    one_class,
    parts_of,
    repeats_of,
    running,
    threat_of,
)
from saddlepoint.objectives.mae import MAE
from saddlepoint.objectives.passes import label_loss
from saddlepoint.objectives.standard import Standard

__all__ = [
    "MAE",
    "PART_FILES",
    "AdversarialMAE",
    "Running",
    "Standard",
    "Standing",
    "StepOutput",
    "TrainingBatch",
    "TrainingObjective",
    "is_classification",
    "label_loss",
    "one_class",
    "parts_of",
    "repeats_of",
    "running",
    "threat_of",
]
