"""Objectives: what a step minimises, one published method a file."""

from __future__ import annotations

from saddlepoint.defences.objectives.adversarial import AdversarialTraining
from saddlepoint.defences.objectives.awp import AWP
from saddlepoint.defences.objectives.distillation import Distillation, HardLabels
from saddlepoint.defences.objectives.embedding_pgd import EmbeddingPGD
from saddlepoint.defences.objectives.fgsm_rs import FGSMRS
from saddlepoint.defences.objectives.free import Free
from saddlepoint.defences.objectives.freelb import FreeLB
from saddlepoint.defences.objectives.mart import MART
from saddlepoint.defences.objectives.mixed import Mixed
from saddlepoint.defences.objectives.n_fgsm import NFGSM
from saddlepoint.defences.objectives.trades import TRADES
from saddlepoint.defences.objectives.trades_yopo import TRADESYOPO
from saddlepoint.defences.objectives.two_phases import TwoPhases
from saddlepoint.defences.objectives.yopo import YOPO
from saddlepoint.objectives.contract import (
    Running,
    Standing,
    StepOutput,
    TrainingBatch,
    TrainingObjective,
    one_class,
    repeats_of,
    running,
    threat_of,
)
from saddlepoint.objectives.passes import label_loss
from saddlepoint.objectives.standard import Standard

__all__ = [
    "AWP",
    "FGSMRS",
    "MART",
    "NFGSM",
    "TRADES",
    "TRADESYOPO",
    "YOPO",
    "AdversarialTraining",
    "Distillation",
    "EmbeddingPGD",
    "Free",
    "FreeLB",
    "HardLabels",
    "Mixed",
    "Running",
    "Standard",
    "Standing",
    "StepOutput",
    "TrainingBatch",
    "TrainingObjective",
    "TwoPhases",
    "label_loss",
    "one_class",
    "repeats_of",
    "running",
    "threat_of",
]
