"""Defences: outer minimisation. A recipe composes model transforms, an objective and penalties."""

from __future__ import annotations

from saddlepoint.defences.activations import ACTIVATIONS, DDTReLU, DTReLU, PiecewiseLinear
from saddlepoint.defences.dynamic_threshold import NaiveDynamicThreshold
from saddlepoint.defences.ensemble import DeepEnsemble
from saddlepoint.defences.levels import fake_quantise
from saddlepoint.defences.linear_operator import dense_operator
from saddlepoint.defences.objectives import (
    AdversarialTraining,
    Standard,
    StepOutput,
    TrainingBatch,
    TrainingObjective,
)
from saddlepoint.defences.orthogonal import Orthogonal
from saddlepoint.defences.power_iteration import singular_value
from saddlepoint.defences.quantisation import calibrate, quantise, unquantise
from saddlepoint.defences.recipe import ModelTransform, Optimiser, Penalty, Recipe, Schedule
from saddlepoint.defences.recipe_fields import RecipeChange
from saddlepoint.defences.recipe_file import (
    attack_from,
    load_recipe,
    parse_recipe,
    recipe_names,
    resolve_recipe,
)
from saddlepoint.defences.registry import (
    OBJECTIVES,
    PENALTIES,
    TRANSFORMS,
    DefenceInfo,
    build_objective,
    build_penalty,
    build_transform,
    transforms_of,
)
from saddlepoint.defences.self_ensemble import (
    GaussianNoise,
    RandomSelfEnsemble,
    random_self_ensemble,
    remove_self_ensemble,
)
from saddlepoint.defences.spectral import SpectralNorm

__all__ = [
    "ACTIVATIONS",
    "OBJECTIVES",
    "PENALTIES",
    "TRANSFORMS",
    "AdversarialTraining",
    "DDTReLU",
    "DTReLU",
    "DeepEnsemble",
    "DefenceInfo",
    "GaussianNoise",
    "ModelTransform",
    "NaiveDynamicThreshold",
    "Optimiser",
    "Orthogonal",
    "Penalty",
    "PiecewiseLinear",
    "RandomSelfEnsemble",
    "Recipe",
    "RecipeChange",
    "Schedule",
    "SpectralNorm",
    "Standard",
    "StepOutput",
    "TrainingBatch",
    "TrainingObjective",
    "attack_from",
    "build_objective",
    "build_penalty",
    "build_transform",
    "calibrate",
    "dense_operator",
    "fake_quantise",
    "load_recipe",
    "parse_recipe",
    "quantise",
    "random_self_ensemble",
    "recipe_names",
    "remove_self_ensemble",
    "resolve_recipe",
    "singular_value",
    "transforms_of",
    "unquantise",
]
