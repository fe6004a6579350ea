"""Does pre-training help adversarial training? From scratch, after MAE, after adversarial MAE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from saddlepoint.attacks import APGD, PGD
from saddlepoint.defences import AdversarialTraining, Optimiser, Recipe, Schedule
from saddlepoint.lab.bench import Bench
from saddlepoint.lab.outputs import predictions
from saddlepoint.lab.pretraining import PretrainingSettings, labelled, pretraining, untrained
from saddlepoint.lab.spread import spread_tables
from saddlepoint.lab.table import Table
from saddlepoint.objectives import MAE, AdversarialMAE
from saddlepoint.option_values import Count, Positive, Share
from saddlepoint.progress import Course
from saddlepoint.streams import derive
from saddlepoint.threat import Linf
from saddlepoint.training import train

STARTS = ("from scratch", "after MAE", "after adversarial MAE")


@dataclass(frozen=True)
class RobustSettings(PretrainingSettings):
    """Settings of `run_mae_robust`; `tuned` are the epochs of adversarial training, the budget is the
    bench's.

    Args:
        share: of the training images whose labels are known.
        steps: of PGD in adversarial training.
        masked_steps: of the ascent in adversarial pre-training.
        learning_rate: of adversarial training, by AdamW.
        measured: iterations of the APGD that measures.

    >>> RobustSettings().steps
    7
    """

    share: Share = 0.2
    steps: Count = 7
    masked_steps: Count = 3
    learning_rate: Positive = 0.001
    measured: Count = 40


@dataclass(frozen=True)
class Hardened:
    """The accuracies of a network after adversarial training, clean and under APGD."""

    start: str
    seed: int
    clean: float
    robust: float


@dataclass(frozen=True)
class Robust:
    """What was found.

    >>> Robust((Hardened("from scratch", 1, 0.9, 0.5),)).tables()["summary"].rows
    (('from scratch', 0.9, 0.5),)
    """

    found: tuple[Hardened, ...]

    def of(self, kind: str) -> dict[str, list[float]]:
        """Return the accuracies, "clean" or "robust", of the seeds by start."""
        values: dict[str, list[float]] = {}
        for each in self.found:
            values.setdefault(each.start, []).append(getattr(each, kind))
        return values

    def tables(self) -> Mapping[str, Table]:
        """Return means over seeds, their spread, and every network."""
        clean, robust = self.of("clean"), self.of("robust")
        rows = [((start,), [clean[start], robust[start]]) for start in clean]
        every = tuple((e.start, e.seed, e.clean, e.robust) for e in self.found)
        return {
            **spread_tables(("start",), ("clean", "robust"), rows),
            "networks": Table(("start", "seed", "clean", "robust"), every),
        }


def run_mae_robust(bench: Bench, settings: RobustSettings) -> Robust:
    """Train adversarially from three starts, for the same epochs on the same labels, and measure the
    accuracy of clean images and under APGD.

    >>> from saddlepoint.data import load_data
    >>> test, train = (load_data("digits", split=s, limit=60) for s in ("test", "train"))
    >>> settings = RobustSettings(2, 1, tuned=1, share=0.5, steps=1, masked_steps=1, measured=2)
    >>> found = run_mae_robust(Bench(test, lambda: train, epochs=1), settings)
    >>> [each.start for each in found.found]
    ['from scratch', 'after MAE', 'after adversarial MAE']
    """
    course = Course(bench.progress, settings.seeds * len(STARTS))
    found = []
    for i in range(settings.seeds):
        for start in STARTS:
            name = f"seed {i + 1}, {start}"
            told = course.next(name)
            row = bench.part(name, partial(_one, bench, settings, start, i, told))
            found.append(Hardened(**row))
    return Robust(tuple(found))


def _one(
    bench: Bench, settings: RobustSettings, start: str, number: int, progress: Any
) -> dict[str, Any]:
    seed, threat = derive(bench.seed, "repetition", number), Linf(bench.eps)
    objective = {
        STARTS[0]: None,
        STARTS[1]: MAE(),
        STARTS[2]: AdversarialMAE(threat=threat, steps=settings.masked_steps),
    }[start]
    course = Course(progress, 1 + (objective is not None))
    model = untrained(bench, settings, seed)
    if objective is not None:
        told = course.next("pre-training")
        recipe = pretraining(bench, settings, objective)
        model = train(model, bench.train, recipe, seed=seed, progress=told).model
    recipe = Recipe(
        AdversarialTraining(PGD(threat, steps=settings.steps)),
        epochs=settings.tuned,
        batch_size=settings.batch_size,
        optimiser=Optimiser(
            "adamw",
            settings.learning_rate,
            weight_decay=0.05,
            decay_on="weights",
            clip_norm=1.0,
        ),
        schedule=Schedule("cosine", warmup=0.1),
        augmentation=settings.augmentation,
    )
    data, told = labelled(bench.train, settings.share, seed), course.next("adversarial training")
    model = train(model, data, recipe, seed=seed, progress=told).model
    ids = torch.arange(len(bench.test), device=bench.device)
    attack = APGD(threat, steps=settings.measured)
    fooled = attack(model, bench.images, bench.labels, seed=seed, ids=ids).success
    right = predictions(model, bench.images)[0] == bench.labels
    return {
        "start": start,
        "seed": number + 1,
        "clean": float(right.double().mean()),
        "robust": float((~fooled).double().mean()),
    }
