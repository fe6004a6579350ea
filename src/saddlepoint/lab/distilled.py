"""Networks trained at a temperature, with a teacher's soft labels and without, over several seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from saddlepoint.data import ImageData
from saddlepoint.defences import Distillation, Optimiser, Recipe, TrainingObjective
from saddlepoint.lab.bench import Bench
from saddlepoint.model import Normalised
from saddlepoint.progress import Course
from saddlepoint.streams import derive, generator
from saddlepoint.training import TEACHER, train

DISTILLED, HARD = "distilled", "hard labels"
KINDS = (DISTILLED, HARD)
_BATCH = 64
_CHANNELS, _HIDDEN = (16, 32), 64


@dataclass(frozen=True, eq=False)
class Distilled:
    """The two networks of a defensive distillation.

    Attributes:
        temperature: T of both trainings; both predict at 1.
        hard: trained at T on the labels: the teacher, and what is left where there is none.
        student: trained at T on the teacher's soft labels.

    >>> pair = Distilled(20.0, nn.Flatten(), nn.Flatten())
    >>> list(pair.networks)
    ['distilled', 'hard labels']
    """

    temperature: float
    hard: nn.Module
    student: nn.Module

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """Both, by kind."""
        return {DISTILLED: self.student, HARD: self.hard}


def recipe_at(objective: TrainingObjective, epochs: int, learning_rate: float) -> Recipe:
    """Return the recipe of all trainings at a temperature: Adam, no weight decay, no averaging.

    At temperature T the gradient in the logits is 1/T of the usual one, and the logits have T times
    as far to go. Adam's steps do not depend on the size of the gradient, so that one rate serves
    every T; SGD's would have to grow with T.

    >>> from saddlepoint.defences import HardLabels
    >>> recipe_at(HardLabels(20.0), 10, 0.006).optimiser.weight_decay
    0.0
    """
    return Recipe(
        objective=objective,
        epochs=epochs,
        batch_size=_BATCH,
        optimiser=Optimiser("adam", learning_rate, weight_decay=0.0),
    )


def hard_labels(
    bench: Bench,
    temperature: float,
    learning_rate: float,
    seed: int,
    data: ImageData | None = None,
) -> nn.Module:
    """Return a network trained at a temperature on the labels, as the teacher of `distil` is.

    >>> from saddlepoint.data import load_data
    >>> test = load_data("digits", split="test", limit=4)
    >>> bench = Bench(test, lambda: load_data("digits", split="train", limit=64), epochs=1)
    >>> hard_labels(bench, 20.0, 0.006, seed=0)(bench.images).shape
    torch.Size([4, 10])
    """
    data = bench.train if data is None else data
    objective = Distillation(temperature).teacher
    told = Course(bench.progress, 1).next(f"hard labels at T = {temperature:g}")
    recipe = recipe_at(objective, bench.epochs, learning_rate)
    # The order of `train`'s own first stage: another than the student's.
    order = derive(seed, TEACHER)
    return train(_fresh(bench, data, seed), data, recipe, seed=order, progress=told).model


def distil(
    bench: Bench,
    temperature: float,
    learning_rate: float,
    seed: int,
    data: ImageData | None = None,
) -> Distilled:
    """Train a teacher and its student, of the same architecture and first weights.

    They are those of `train` with `Distillation`; here the teacher is kept, since it is what the
    same training gives without one.

    Reference: Papernot, McDaniel, Wu, Jha and Swami 2016, arXiv:1511.04508.

    Args:
        bench: which builds the networks, or `strided_network` does.
        temperature: T.
        learning_rate: Adam's, the peak of one cycle.
        seed: of weights and orders.
        data: other training images than the bench's.

    >>> from saddlepoint.data import load_data
    >>> test = load_data("digits", split="test", limit=4)
    >>> bench = Bench(test, lambda: load_data("digits", split="train", limit=64), epochs=1)
    >>> distil(bench, 20.0, 0.006, seed=0).temperature
    20.0
    """
    data = bench.train if data is None else data
    teacher = hard_labels(bench, temperature, learning_rate, seed, data)
    told = Course(bench.progress, 1).next(f"student at T = {temperature:g}")
    recipe = recipe_at(Distillation(temperature), bench.epochs, learning_rate)
    fresh = _fresh(bench, data, seed)
    student = train(fresh, data, recipe, seed=seed, teacher=teacher, progress=told).model
    return Distilled(temperature, teacher, student)


def _fresh(bench: Bench, data: ImageData, seed: int) -> nn.Module:
    build = bench.build or partial(strided_network, data)
    return build(seed).to(bench.device)


def strided_network(data: ImageData, seed: int) -> nn.Module:
    """Return two convolutions with stride 2 and a hidden layer, untrained, the normalisation inside.

    Without BatchNorm, as the networks that distillation was published on, and without pooling: it
    costs a quarter of `small_network`, where dozens are trained.

    >>> from saddlepoint.data import load_data
    >>> strided_network(load_data("digits", limit=1), seed=0)(torch.rand(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """
    channels, *sides = data.shape
    features = _CHANNELS[1]
    for side in sides:
        features *= (side + 3) // 4
    net = nn.Sequential(
        nn.Conv2d(channels, _CHANNELS[0], 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(_CHANNELS[0], _CHANNELS[1], 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(features, _HIDDEN),
        nn.ReLU(),
        nn.Linear(_HIDDEN, len(data.classes)),
    )
    draw = generator(seed, "strided network")
    for layer in net:
        if isinstance(layer, nn.Conv2d | nn.Linear):  # torch's own bound, from a stream of ours
            bound = layer.weight[0].numel() ** -0.5
            for p in layer.parameters():
                p.data = (2 * torch.rand(p.shape, generator=draw) - 1) * bound
    return Normalised(net, data.mean, data.std)


def seeds_of(bench: Bench, repeats: int) -> list[int]:
    """Return the seeds of so many repetitions, from the bench's on.

    >>> from saddlepoint.data import load_data
    >>> seeds_of(Bench(load_data("digits", limit=1), lambda: load_data("digits"), seed=5), 3)
    [5, 6, 7]
    """
    return [bench.seed + i for i in range(repeats)]
