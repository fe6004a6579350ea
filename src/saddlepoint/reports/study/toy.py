"""Results of a study of two variants that never ran: what the examples of this package show."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import torch
from torch import Tensor, nn

from saddlepoint.studies.results import (
    CURVE_COLUMNS,
    EVALUATION_COLUMNS,
    IMAGE_COLUMNS,
    TRAINING_COLUMNS,
    StudyResults,
)
from saddlepoint.zoo import build_model


def toy_results(**changed: Any) -> StudyResults:
    """Return results of `original` and `adversarial`: three seeds, two budgets, four images each.

    `changed` replaces fields. The models are untrained and the images are noise.

    >>> toy_results().variants
    ('original', 'adversarial')
    """
    evaluations, trainings, curves, images = [], [], [], []
    for variant, losses in (("original", (1.0, 0.5)), ("adversarial", (2.0, 1.2))):
        for seed in range(3):
            for eps in (None,) if variant == "original" else (0.1, 0.2):
                loss = losses[1] + 0.1 * seed
                trainings.append((variant, seed, eps, loss, 0.0, 0.9, 1.0, f"t{seed}"))
                curves += [(variant, seed, eps, 1.0 + k, x, 0.0) for k, x in enumerate(losses)]
            for eps in (0.1, 0.2):
                fooled = (3 if variant == "original" else 1) - (eps == 0.1) * (seed == 2)
                robust = 1 - fooled / 4
                evaluations.append(
                    (variant, seed, eps, "pgd", 4, 1.0, robust, 1 - robust, 1.0, "t", "e")
                )
                images += [
                    (variant, seed, eps, "pgd", i, i % 2, (i + (i < fooled)) % 2, False, i < fooled)
                    for i in range(4)
                ]
    values: dict[str, Any] = {
        "name": "toy",
        "title": "Two variants that never ran",
        "config": {"name": "toy"},
        "variants": ("original", "adversarial"),
        "reference": "original",
        "seeds": (0, 1, 2),
        "budgets": (0.1, 0.2),
        "attacks": ("pgd",),
        "threat": "Linf, pixels",
        "classes": ("zero", "one"),
        "evaluations": _table(evaluations, EVALUATION_COLUMNS),
        "trainings": _table(trainings, TRAINING_COLUMNS),
        "curves": _table(curves, CURVE_COLUMNS),
        "images": _table(images, IMAGE_COLUMNS),
        "model": toy_model,
        "examples": toy_examples,
    }
    return StudyResults(**{**values, **changed})


def toy_model(variant: str, seed: int, eps: float) -> nn.Module:
    """Return an untrained network for 8×8 images and two classes.

    >>> toy_model("original", 0, 0.1)(torch.rand(1, 1, 8, 8)).shape
    torch.Size([1, 2])
    """
    return build_model("simple-cnn", classes=2, shape=(1, 8, 8), seed=seed).eval()


def toy_examples(variant: str, seed: int, eps: float, attack: str) -> dict[str, Tensor]:
    """Return four images of noise, a perturbation of each, and predictions.

    >>> sorted(toy_examples("original", 0, 0.1, "pgd"))
    ['adversarials', 'after', 'before', 'ids', 'images', 'labels']
    """
    noise = torch.rand(2, 4, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    labels = torch.arange(4) % 2
    return {
        "images": noise[0],
        "adversarials": (noise[0] + eps * (2 * noise[1] - 1).sign()).clamp(0, 1),
        "labels": labels,
        "before": labels,
        "after": 1 - labels,
        "ids": torch.arange(4),
    }


def _table(rows: list[Any], schema: pa.Schema) -> pa.Table:
    columns = zip(*rows, strict=True)
    arrays = [pa.array(c, t) for c, t in zip(columns, schema.types, strict=True)]
    return pa.table(arrays, schema=schema)
