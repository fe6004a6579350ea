"""Training the networks of Madry et al., as every experiment on their capacity does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from saddlepoint.attacks import FGSM, PGD
from saddlepoint.data import ImageData
from saddlepoint.defences import (
    AdversarialTraining,
    Optimiser,
    Recipe,
    Schedule,
    TrainingObjective,
)
from saddlepoint.lab.bench import Bench
from saddlepoint.lab.experiment import Settings
from saddlepoint.option_values import Count, Positive
from saddlepoint.progress import Course
from saddlepoint.streams import derive
from saddlepoint.threat import Linf
from saddlepoint.training import TrainingResult, train
from saddlepoint.zoo import build_model

Build = Callable[[int], nn.Module]
_NEAR = 0.05


@dataclass(frozen=True)
class FamilySettings(Settings):
    """Settings of the experiments that train `zoo:madry-cnn`, seed by seed.

    Args:
        seeds: trainings of each network; weights, order and attacks differ.
        train_steps: of PGD in training, of 2.5·eps/steps each, from a random start.
        learning_rate: the peak, of Adam in one cycle, for every width and training.
        batch_size: of the trainings.
        autocast: "bf16" trains in bfloat16, which some processors are faster at; all that is
            measured is in float32.

    >>> FamilySettings().seeds
    3
    """

    seeds: Count = 3
    train_steps: Count = 5
    learning_rate: Positive = 4e-3
    batch_size: Count = 32
    autocast: Literal["bf16"] | None = None


class Trainer:
    """Trains networks on a bench, with one progress for all.

    Args:
        bench: the training images, eps, epochs, seed.
        settings: how.
        count: of the trainings to come.

    >>> from saddlepoint.data import load_data
    >>> train = load_data("digits", split="train", limit=64)
    >>> bench = Bench(load_data("digits", limit=4), lambda: train, epochs=1)
    >>> trainer = Trainer(bench, FamilySettings(), count=1)
    >>> result = trainer.trained("FGSM ×1", fgsm_training(0.2), family_member(train, 1), seed=0)
    >>> len(result.metrics)
    1
    """

    def __init__(self, bench: Bench, settings: FamilySettings, count: int) -> None:
        self.bench, self.settings = bench, settings
        self._course = Course(bench.progress, count)

    def seeds(self) -> list[int]:
        """Return the seed of each repetition."""
        return [derive(self.bench.seed, "repetition", i) for i in range(self.settings.seeds)]

    def trained(
        self, name: str, objective: TrainingObjective, build: Build, seed: int
    ) -> TrainingResult:
        """Return a network trained from the weights that `build` makes of the seed."""
        settings = self.settings
        recipe = Recipe(
            objective=objective,
            epochs=self.bench.epochs,
            batch_size=settings.batch_size,
            optimiser=Optimiser("adam", settings.learning_rate, weight_decay=0.0),
            schedule=Schedule("one-cycle"),
            autocast=settings.autocast,
        )
        # Convolutions of few channels, and their gradients, are up to twice as fast so on a CPU.
        model = build(seed).to(self.bench.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        told = self._course.next(name)
        return train(model, self.bench.train, recipe, seed=seed, progress=told)


def pgd_training(eps: float, steps: int) -> AdversarialTraining:
    """Return training on PGD's images, each made from a random start by steps of 2.5·eps/steps.

    >>> pgd_training(0.3, 5).attack.steps
    5
    """
    return AdversarialTraining(PGD(Linf(eps), steps=steps))


def fgsm_training(eps: float) -> AdversarialTraining:
    """Return training on FGSM's images: one step of eps from the clean image, without noise.

    >>> type(fgsm_training(0.3).attack).__name__
    'FGSM'
    """
    return AdversarialTraining(FGSM(Linf(eps)))


def family_member(data: ImageData, scale: int) -> Build:
    """Return what builds the network of that width for a seed, without normalisation as theirs.

    >>> from saddlepoint.data import load_data
    >>> net = family_member(load_data("digits", limit=1), 2)(0)
    >>> net.block1.conv.out_channels
    4
    """

    def build(seed: int) -> nn.Module:
        return build_model(
            "zoo:madry-cnn", classes=len(data.classes), shape=data.shape, seed=seed,
            options={"scale": scale},
        )  # fmt: skip

    return build


def majority(labels: Int64[Tensor, " n"]) -> float:
    """Return the share of the commonest class, what one answer for every image gets right.

    >>> majority(torch.tensor([3, 3, 1, 0]))
    0.5
    """
    return float(labels.bincount().max()) / len(labels)


def learnt_nothing(accuracy: float, commonest: float) -> bool:
    """Return whether a clean accuracy is no more than 5 points above the share of the commonest class.

    >>> learnt_nothing(0.14, 0.1), learnt_nothing(0.4, 0.1)
    (True, False)
    """
    return accuracy <= commonest + _NEAR
