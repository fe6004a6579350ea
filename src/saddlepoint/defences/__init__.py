"""Defences: outer minimisation. A recipe composes model transforms, an objective and penalties."""

from __future__ import annotations

from saddlepoint.defences.activations import ACTIVATIONS, DDTReLU, DTReLU, PiecewiseLinear
from saddlepoint.defences.build import (
    attack_from,
    build_objective,
    build_penalty,
    build_transform,
    transform_word,
    transforms_of,
)
from saddlepoint.defences.defense_gan import GeneratorPurifier, defense_gan
from saddlepoint.defences.dynamic_threshold import NaiveDynamicThreshold
from saddlepoint.defences.ensemble import DeepEnsemble
from saddlepoint.defences.held_out import Validation, Watch
from saddlepoint.defences.levels import fake_quantise
from saddlepoint.defences.linear_operator import dense_operator
from saddlepoint.defences.linear_probe import linear_probe
from saddlepoint.defences.mae_purify import MAEPurifier, mae_purify
from saddlepoint.defences.objectives import (
    AWP,
    FGSMRS,
    MART,
    NFGSM,
    TRADES,
    TRADESYOPO,
    YOPO,
    AdversarialTraining,
    Distillation,
    EmbeddingPGD,
    Free,
    FreeLB,
    HardLabels,
    Mixed,
    Running,
    Standard,
    Standing,
    StepOutput,
    TrainingBatch,
    TrainingObjective,
    TwoPhases,
    label_loss,
    repeats_of,
    running,
    threat_of,
)
from saddlepoint.defences.optimiser import Optimiser
from saddlepoint.defences.orthogonal import Orthogonal
from saddlepoint.defences.parameter_groups import layers_of, undecayed
from saddlepoint.defences.power_iteration import singular_value
from saddlepoint.defences.purifier import Purified, Purifier
from saddlepoint.defences.quantisation import calibrate, quantise, unquantise
from saddlepoint.defences.recipe import ModelTransform, Penalty, Recipe
from saddlepoint.defences.recipe_fields import RecipeChange
from saddlepoint.defences.recipe_file import (
    load_recipe,
    parse_recipe,
    recipe_names,
    resolve_recipe,
)
from saddlepoint.defences.registry import OBJECTIVES, PENALTIES, TRANSFORMS, DefenceInfo
from saddlepoint.defences.schedule import Schedule, plateaus
from saddlepoint.defences.self_ensemble import (
    GaussianNoise,
    RandomSelfEnsemble,
    random_self_ensemble,
    remove_self_ensemble,
)
from saddlepoint.defences.spectral import SpectralNorm

__all__ = [
    "ACTIVATIONS",
    "AWP",
    "FGSMRS",
    "MART",
    "NFGSM",
    "OBJECTIVES",
    "PENALTIES",
    "TRADES",
    "TRADESYOPO",
    "TRANSFORMS",
    "YOPO",
    "AdversarialTraining",
    "DDTReLU",
    "DTReLU",
    "DeepEnsemble",
    "DefenceInfo",
    "Distillation",
    "EmbeddingPGD",
    "Free",
    "FreeLB",
    "GaussianNoise",
    "GeneratorPurifier",
    "HardLabels",
    "MAEPurifier",
    "Mixed",
    "ModelTransform",
    "NaiveDynamicThreshold",
    "Optimiser",
    "Orthogonal",
    "Penalty",
    "PiecewiseLinear",
    "Purified",
    "Purifier",
    "RandomSelfEnsemble",
    "Recipe",
    "RecipeChange",
    "Running",
    "Schedule",
    "SpectralNorm",
    "Standard",
    "Standing",
    "StepOutput",
    "TrainingBatch",
    "TrainingObjective",
    "TwoPhases",
    "Validation",
    "Watch",
    "attack_from",
    "build_objective",
    "build_penalty",
    "build_transform",
    "calibrate",
    "defense_gan",
    "dense_operator",
    "fake_quantise",
    "label_loss",
    "layers_of",
    "linear_probe",
    "load_recipe",
    "mae_purify",
    "parse_recipe",
    "plateaus",
    "quantise",
    "random_self_ensemble",
    "recipe_names",
    "remove_self_ensemble",
    "repeats_of",
    "resolve_recipe",
    "running",
    "singular_value",
    "threat_of",
    "transform_word",
    "transforms_of",
    "undecayed",
    "unquantise",
]
