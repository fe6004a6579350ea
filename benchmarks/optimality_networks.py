"""The twelve networks of the table of local optimality: six to choose on, six held out.

They are trained where no file is found, each with its own seed and width, and their boundaries are
near (CIFAR-shaped), far (MNIST trained adversarially at 0.3) or masked (distilled, quantised).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from attack_networks import Subject
from safetensors.torch import load_model, save_model
from torch import nn

from saddlepoint.attacks import PGD
from saddlepoint.data import TensorData, load_data
from saddlepoint.defences import (
    FGSMRS,
    AdversarialTraining,
    Distillation,
    Optimiser,
    Recipe,
    Schedule,
    TrainingObjective,
    calibrate,
    quantise,
)
from saddlepoint.model import Normalised
from saddlepoint.threat import Linf
from saddlepoint.training import train
from saddlepoint.zoo.madry_cnn import MadryCNN
from saddlepoint.zoo.simple_cnn import SimpleCNN

TEST = 400
HALVES = {"chosen": 0, "held out": 1}
"""The two halves, by the seed of their networks; the second ones are wider, too."""


@dataclass(frozen=True)
class Plan:
    """How a network is trained."""

    data: str
    images: int
    epochs: int
    objective: Callable[[], TrainingObjective] | None = None
    bits: int | None = None
    warm: int = 0
    """Epochs without an adversary first: from random weights a budget of 0.3 teaches nothing."""


def _pgd() -> TrainingObjective:
    return AdversarialTraining(PGD(Linf(0.3), steps=40, step_size=0.01))


def _cifar_pgd() -> TrainingObjective:
    return AdversarialTraining(PGD(Linf(2 / 255), steps=3, step_size=1 / 255))


PLANS: Mapping[str, Plan] = {
    "mnist-pgd": Plan("mnist", 4000, 10, _pgd, warm=2),
    "mnist-fgsm": Plan("mnist", 10_000, 10, lambda: FGSMRS(Linf(0.3)), warm=2),
    "cifar-robust": Plan("cifar10-jpeg", 10_000, 8, _cifar_pgd),
    "cifar-normal": Plan("cifar10-jpeg", 10_000, 8),
    "distilled": Plan("mnist", 6000, 10, lambda: Distillation(100.0)),
    "quantised": Plan("mnist", 6000, 8, bits=2),
}


def subject(name: str, half: str, folder: Path) -> Subject:
    """Return a network of that name and half, and the first test images."""
    plan, seed = PLANS[name], HALVES[half]
    data = load_data(plan.data, split="train", limit=plan.images)
    test = load_data(plan.data, split="test", limit=TEST)
    assert isinstance(data, TensorData)
    model = _network(plan, seed, data)
    adam = plan.data == "mnist"
    optimiser = Optimiser("adam", 0.002, weight_decay=0.0) if adam else Optimiser()
    recipe = Recipe(optimiser=optimiser, schedule=Schedule("one-cycle"), batch_size=32)
    read_or_train(model, data, plan, recipe, seed, folder / f"{name}-{seed}.safetensors")
    model.eval().requires_grad_(False)
    rows = torch.arange(TEST)
    return Subject(f"{name}, {half}", model, test.images(rows), test.labels[rows])


class Lessons(Protocol):
    """What a plan says of a training."""

    @property
    def epochs(self) -> int: ...
    @property
    def warm(self) -> int: ...
    @property
    def objective(self) -> Callable[[], TrainingObjective] | None: ...


def read_or_train(
    model: nn.Module, data: TensorData, plan: Lessons, recipe: Recipe, seed: int, path: Path
) -> None:
    """Load the weights in `path`; where there are none, train as planned and write them there."""
    if path.exists():
        load_model(model, path)
        return
    if plan.warm:
        train(model, data, replace(recipe, epochs=plan.warm), seed=seed)
    recipe = replace(recipe, epochs=plan.epochs)
    if plan.objective is not None:
        recipe = replace(recipe, objective=plan.objective())
    train(model, data, recipe, seed=seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_model(model, str(path))


def _network(plan: Plan, seed: int, data: TensorData) -> nn.Module:
    torch.manual_seed(seed)
    if plan.data == "mnist":
        net: nn.Module = MadryCNN(scale=3 + seed)
    else:
        widths = ((16, 32, 64), (24, 48, 96))[seed]
        net = SimpleCNN(widths=widths, kernel=3, hidden=(128,))
    model = Normalised(net, data.mean, data.std)
    if plan.bits is not None:
        quantise(model, weight_bits=plan.bits + 2, activation_bits=plan.bits)
        calibrate(model, data.images(torch.arange(256)))
    return model
