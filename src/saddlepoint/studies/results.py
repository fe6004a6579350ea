"""StudyResults: what a study has found so far, as tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from torch import Tensor, nn

from saddlepoint.errors import InputError

EVALUATION_COLUMNS = pa.schema(
    {
        "variant": pa.string(),
        "seed": pa.int64(),
        "eps": pa.float64(),
        "attack": pa.string(),
        "images": pa.int64(),
        "clean_accuracy": pa.float64(),
        "robust_accuracy": pa.float64(),
        "success_rate": pa.float64(),  # null where no image was right before
        "seconds": pa.float64(),
        "training": pa.string(),
        "address": pa.string(),
    }
)
TRAINING_COLUMNS = pa.schema(
    {
        "variant": pa.string(),
        "seed": pa.int64(),
        "eps": pa.float64(),  # null where the training does not depend on it
        "loss": pa.float64(),
        "penalty": pa.float64(),
        "accuracy": pa.float64(),
        "seconds": pa.float64(),
        "address": pa.string(),
    }
)
CURVE_COLUMNS = pa.schema(
    {
        "variant": pa.string(),
        "seed": pa.int64(),
        "eps": pa.float64(),
        "epoch": pa.float64(),  # 0.5: half of the first epoch is done
        "loss": pa.float64(),
        "penalty": pa.float64(),  # its share of the loss
    }
)
EPOCH_COLUMNS = pa.schema(
    {
        "variant": pa.string(),
        "seed": pa.int64(),
        "eps": pa.float64(),
        "epoch": pa.int64(),
        "loss": pa.float64(),
        "accuracy": pa.float64(),  # of the images that were trained on, adversarial ones perhaps
        "validation_accuracy": pa.float64(),  # null where the recipe holds no images out
        "watched_accuracy": pa.float64(),  # likewise where it watches none
        "seconds": pa.float64(),  # of this epoch's steps
    }
)
IMAGE_COLUMNS = pa.schema(
    {
        "variant": pa.string(),
        "seed": pa.int64(),
        "eps": pa.float64(),
        "attack": pa.string(),
        "id": pa.int64(),
        "label": pa.int64(),
        "prediction": pa.int64(),  # after the attack
        "initially_wrong": pa.bool_(),
        "success": pa.bool_(),  # wrong after the attack, those wrong before it among them
    }
)


@dataclass(frozen=True, eq=False)
class StudyResults:
    """What a study has found so far: the tables of its finished cells, and what is missing.

    Attributes:
        name, title: of the study.
        config: its specification as JSON values, defaults resolved.
        variants: their names, in the order of the specification; the first is often the reference.
        reference: the variant that the others are compared with.
        seeds, budgets, attacks: the other axes of the grid; the first attack is the main one.
        threat: the norm and the space of the budgets, for instance "Linf, normalised space".
        classes: the names of the data's classes.
        minimum_clean_accuracy: below it, no conclusion is drawn from a variant.
        evaluations: a row per (variant, seed, eps, attack); see `EVALUATION_COLUMNS`.
        trainings: a row per trained model; see `TRAINING_COLUMNS`.
        curves: the training loss in at most 50 pieces per epoch; see `CURVE_COLUMNS`.
        epochs: a row per epoch of every training; see `EPOCH_COLUMNS`.
        images: a row per image of every evaluation; see `IMAGE_COLUMNS`.
        missing: labels of the cells that are not finished.
        failed: the last line of the error of cells that failed, by label.
        damaged: labels of the cells whose files are not what was written.
        model: returns the trained model of (variant, seed, eps), in eval mode.
        examples: returns up to 8 images of the evaluation of (variant, seed, eps, attack): `images`
            and `adversarials` (n, c, h, w), `labels`, `before` and `after` (predicted classes) and
            `ids`, (n,).

    >>> empty = EVALUATION_COLUMNS.empty_table()
    >>> results = StudyResults(name="s", title="S", config={}, variants=("original",), reference="original",
    ...     seeds=(0,), budgets=(0.1,), attacks=("pgd",), threat="Linf", evaluations=empty)
    >>> results.complete
    True
    """

    name: str
    title: str
    config: dict[str, Any]
    variants: tuple[str, ...]
    reference: str
    seeds: tuple[int, ...]
    budgets: tuple[float, ...]
    attacks: tuple[str, ...]
    threat: str
    classes: tuple[str, ...] = ()
    minimum_clean_accuracy: float = 0.0
    evaluations: pa.Table = field(default_factory=EVALUATION_COLUMNS.empty_table)
    trainings: pa.Table = field(default_factory=TRAINING_COLUMNS.empty_table)
    curves: pa.Table = field(default_factory=CURVE_COLUMNS.empty_table)
    epochs: pa.Table = field(default_factory=EPOCH_COLUMNS.empty_table)
    images: pa.Table = field(default_factory=IMAGE_COLUMNS.empty_table)
    missing: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    damaged: tuple[str, ...] = ()
    model: Callable[[str, int, float], nn.Module] = field(default=lambda v, s, e: _absent("model"))
    examples: Callable[[str, int, float, str], dict[str, Tensor]] = field(
        default=lambda v, s, e, a: _absent("examples")
    )

    @property
    def complete(self) -> bool:
        """Whether every cell of the grid is finished."""
        return not (self.missing or self.failed or self.damaged)


def _absent(what: str) -> Any:
    raise InputError(f"these results hold no {what}; load the study's folder")
