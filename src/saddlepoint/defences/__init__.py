"""Defences: outer minimisation. A recipe composes model transforms, an objective and penalties."""

from __future__ import annotations

from saddlepoint.defences.objectives import (
    AdversarialTraining,
    Standard,
    StepOutput,
    TrainingBatch,
    TrainingObjective,
)
from saddlepoint.defences.recipe import ModelTransform, Optimiser, Penalty, Recipe, Schedule
from saddlepoint.defences.recipe_file import (
    attack_from,
    load_recipe,
    parse_recipe,
    recipe_names,
)

__all__ = [
    "AdversarialTraining",
    "ModelTransform",
    "Optimiser",
    "Penalty",
    "Recipe",
    "Schedule",
    "Standard",
    "StepOutput",
    "TrainingBatch",
    "TrainingObjective",
    "attack_from",
    "load_recipe",
    "parse_recipe",
    "recipe_names",
]
