"""Results of a study that never ran, with known differences between the variants."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from saddlepoint.defences.recipe_file import resolve_recipe
from saddlepoint.studies import results as r

NINE = (
    "original", "adversarial", "quantised", "regularised", "quantised + adversarial",
    "quantised + regularised", "adversarial + regularised",
    "quantised + adversarial + regularised", "random self-ensemble",
)  # fmt: skip

PARTS = {
    "original": {},
    "adversarial": {
        "objective": {"name": "adversarial-training", "attack": {"name": "pgd", "eps": "study"}}
    },
    "quantised": {"transforms": ["quantise"]},
    "regularised": {
        "penalties": [
            {"name": "orthogonal", "weight": 1e-4},
            {"name": "spectral-norm", "weight": 1e-4},
        ]
    },
    "random self-ensemble": {"transforms": ["random-self-ensemble"]},
}


def recipe(variant):
    """The resolved recipe of one of the nine; that of the original for another name."""
    values = {}
    for part in variant.split(" + "):
        values.update(PARTS.get(part, {}))
    return resolve_recipe(values)


def synthetic(
    variants=NINE,
    seeds=5,
    budgets=(4 / 255, 8 / 255),
    images=80,
    attacks=("pgd",),
    seed=0,
    **changed,
):
    """Adversarial variants lose 30 %, RSE 55 %, the rest 80 % of what was right; noise per image."""
    random = np.random.default_rng(seed)
    rows, curves, trainings, per_image = [], [], [], []
    for variant in variants:
        for number in range(seeds):
            trained = budgets if "adversarial" in variant else (None,)
            for eps in trained:
                floor = 0.9 if {"adversarial", "regularised"} <= set(variant.split(" + ")) else 0.3
                losses = [floor + 2.0 * np.exp(-k / 10) + 0.02 * random.random() for k in range(60)]
                penalty = 0.1 if "reg" in variant else 0.0
                trainings.append((variant, number, eps, losses[-1], penalty, 0.9, 12.0, "t"))
                curves += [
                    (variant, number, eps, (k + 1) / 20, loss, 0.0) for k, loss in enumerate(losses)
                ]
            right = random.random(images) < 0.9
            for eps in budgets:
                share = {"adversarial": 0.3, "random": 0.55}.get(
                    "adversarial" if "adversarial" in variant else variant.split()[0], 0.8
                )
                for attack in attacks:
                    fooled = right & (random.random(images) < share * (0.8 + 5 * eps))
                    clean, robust = right.mean(), (right & ~fooled).mean()
                    rate = fooled.sum() / right.sum() if right.any() else None
                    cell = (variant, number, eps, attack)
                    rows.append((*cell, images, clean, robust, rate, 3.0, "t", "e"))
                    wrong = fooled | ~right
                    per_image += [
                        (*cell, i, i % 10, (i + wrong[i]) % 10, not right[i], bool(wrong[i]))
                        for i in range(images)
                    ]

    def table(values, schema):
        columns = list(zip(*values, strict=True)) or [()] * len(schema)
        arrays = {
            name: pa.array(column, kind)
            for name, kind, column in zip(schema.names, schema.types, columns, strict=True)
        }
        return pa.table(arrays)

    values = {
        "name": "synthetic",
        "title": "A study that never ran",
        "config": {
            "name": "synthetic",
            "variants": {variant: {"recipe": recipe(variant)} for variant in variants},
        },
        "variants": tuple(variants),
        "reference": variants[0],
        "seeds": tuple(range(seeds)),
        "budgets": tuple(budgets),
        "attacks": tuple(attacks),
        "threat": "Linf, pixels",
        "classes": tuple("0123456789"),
        "minimum_clean_accuracy": 0.5,
        "evaluations": table(rows, r.EVALUATION_COLUMNS),
        "trainings": table(trainings, r.TRAINING_COLUMNS),
        "curves": table(curves, r.CURVE_COLUMNS),
        "images": table(per_image, r.IMAGE_COLUMNS),
    }
    return r.StudyResults(**{**values, **changed})
