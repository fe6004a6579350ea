"""What a step of training minimises: the contract, and objectives that are no defence."""

from __future__ import annotations

from saddlepoint.objectives.adversarial_mae import AdversarialMAE
from saddlepoint.objectives.advgan import AdvGANAgainst, AdvGANGame
from saddlepoint.objectives.classify import Classify
from saddlepoint.objectives.classify_tokens import ClassifyTokens
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
    reads_text,
    repeats_of,
    running,
    threat_of,
)
from saddlepoint.objectives.game_losses import GENERATOR_LOSSES, game_value, minimax, non_saturating
from saddlepoint.objectives.gan import GAN, Game
from saddlepoint.objectives.left_to_right import LeftToRight
from saddlepoint.objectives.mae import MAE
from saddlepoint.objectives.masked_language import MaskedLanguage
from saddlepoint.objectives.passes import label_loss
from saddlepoint.objectives.standard import Standard
from saddlepoint.objectives.text_objective import TextObjective
from saddlepoint.objectives.translate import Translate

__all__ = [
    "GAN",
    "GENERATOR_LOSSES",
    "MAE",
    "PART_FILES",
    "AdvGANAgainst",
    "AdvGANGame",
    "AdversarialMAE",
    "Classify",
    "ClassifyTokens",
    "Game",
    "LeftToRight",
    "MaskedLanguage",
    "Running",
    "Standard",
    "Standing",
    "StepOutput",
    "TextObjective",
    "TrainingBatch",
    "TrainingObjective",
    "Translate",
    "game_value",
    "is_classification",
    "label_loss",
    "minimax",
    "non_saturating",
    "one_class",
    "parts_of",
    "reads_text",
    "repeats_of",
    "running",
    "threat_of",
]
