"""How long a study will take, from one timed step of each of its recipes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn.functional import one_hot

from saddlepoint.data import ImageData
from saddlepoint.defences import TrainingBatch
from saddlepoint.evaluation import build_suite
from saddlepoint.evaluation.randomness import passes_for
from saddlepoint.model import Guard
from saddlepoint.studies.build import (
    DataFacts,
    check_models,
    normalisation_of,
    placed,
    study_data,
    training_data,
    variant_model,
)
from saddlepoint.studies.grid import Cell, build_grid, select
from saddlepoint.studies.spec import StudySpec
from saddlepoint.training.loop import take_step
from saddlepoint.training.state import State
from saddlepoint.training.teacher import needs_teacher

_IMAGES = 32  # attacked to time an evaluation


@dataclass(frozen=True)
class Estimate:
    """What a study consists of and how long it would take, before anything is run.

    Attributes:
        cells: of the grid.
        step_seconds: one training step, by variant.
        image_seconds: the evaluation of one image, by variant and attack.
        seconds: by kind and variant, of all their cells one after the other.

    >>> Estimate((), {}, {}, {"training, original": 3.0, "evaluation, original": 1.0}).total
    4.0
    """

    cells: tuple[Cell, ...]
    step_seconds: dict[str, float]
    image_seconds: dict[tuple[str, str], float]
    seconds: dict[str, float]

    @property
    def total(self) -> float:
        """Seconds of all cells; with n workers it takes about an n-th of it."""
        return sum(self.seconds.values())


def estimate_study(
    spec: StudySpec, *, only: str | None = None, data_root: Path | str | None = None
) -> Estimate:
    """Time one step of every distinct recipe and a few images of every attack, and add up.

    The models are untrained, and their own predictions stand for the labels: attacks that stop at
    a success then take longer on a trained robust model, and about as long on others.

    >>> from saddlepoint.studies import parse_study
    >>> spec = parse_study("{name: s, data: {name: digits, train_limit: 64, test_limit: 16}, "
    ...     "eps: [0.1], attacks: {fgsm: {name: fgsm}}, recipe: {epochs: 1}, variants: {o: []}}")
    >>> len(estimate_study(spec).cells)
    2
    """
    train, test = (study_data(spec.data, split, data_root) for split in ("train", "test"))
    cells = select(build_grid(spec, train, test), only)
    check_models(spec, DataFacts.of(train))
    variants = {cell.variant for cell in cells}
    steps: dict[str, float] = {}
    images: dict[tuple[str, str], float] = {}
    lengths = {v: len(training_data(spec, v, train)) for v in spec.variants}
    with _threads(spec.threads):
        shown = placed(spec, train), placed(spec, test)
        for variant in spec.variants:
            if variant in variants:
                steps[variant] = _step_seconds(spec, variant, shown[0])
                for attack in spec.attacks:
                    images[variant, attack] = _image_seconds(spec, variant, attack, shown[1])
    seconds: dict[str, float] = {}
    for cell in cells:
        recipe = spec.recipe_of(cell.variant)
        if cell.kind == "training":
            count = -(-lengths[cell.variant] // recipe["batch_size"]) * recipe["epochs"]
            cost = count * steps[cell.variant]
        else:
            cost = len(test) * images[cell.variant, cell.attack]
        key = f"{cell.kind}, {cell.variant}"
        seconds[key] = seconds.get(key, 0.0) + cost
    return Estimate(cells, steps, images, seconds)


def _step_seconds(spec: StudySpec, variant: str, data: ImageData) -> float:
    recipe, model = variant_model(spec, DataFacts.of(data), variant, 0, spec.eps[0])
    model = model.to(spec.device).train()
    ids = torch.arange(min(recipe.batch_size, len(data)))
    labels = data.labels[ids]
    soft = one_hot(labels, len(data.classes)).float()  # as a teacher's would be
    batch = TrainingBatch(data.images(ids), labels, ids, seed=0, soft=soft)
    # Four steps' room, though two are taken: the schedule must not end.
    state = State(model, recipe, 4 * len(ids), batch.images, data)
    take_step(state, batch)  # the first one allocates
    began = time.perf_counter()
    take_step(state, batch)
    stages = 2 if needs_teacher(recipe, None) else 1
    return stages * (time.perf_counter() - began)


def _image_seconds(spec: StudySpec, variant: str, attack: str, data: ImageData) -> float:
    facts = DataFacts.of(data)
    statistics, eps = normalisation_of(spec, facts), spec.eps[-1]
    model = variant_model(spec, facts, variant, 0, eps)[1].to(spec.device).eval()
    ids = torch.arange(min(_IMAGES, len(data)))
    images, values = data.images(ids), spec.attacks[attack]
    passes = passes_for(model, data, spec.eot_samples)
    with Guard(model, len(ids)) as guard:
        labels = guard.logits(images).argmax(1)
    if "suite" in values:
        threat = spec.attack({"name": "pgd"}, eps, statistics).threat
        attacks = list(build_suite(values["suite"], threat).values())
    else:
        attacks = [spec.attack(values, eps, statistics)]
    began = time.perf_counter()
    for each in attacks:
        each(model, images, labels, ids=ids, random=passes.random)
    return passes.samples * (time.perf_counter() - began) / len(ids)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
