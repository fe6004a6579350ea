"""The bench of an experiment: the images, and the models, which are trained when first asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from saddlepoint.attacks import PGD
from saddlepoint.counts import check_seed
from saddlepoint.data import ImageData, TensorData
from saddlepoint.defences import AdversarialTraining, Recipe, Standard, TrainingObjective
from saddlepoint.files import write_json
from saddlepoint.model import Normalised
from saddlepoint.option_values import Count, Positive, check_fields
from saddlepoint.progress import Course, Progress
from saddlepoint.reading import read_json
from saddlepoint.threat import Linf
from saddlepoint.training import train
from saddlepoint.zoo import build_model

_SMALL = {"widths": (16, 32), "kernel": 3, "hidden": (64,)}


@dataclass(frozen=True, eq=False)
class Bench:
    """What an experiment may ask for.

    Attributes:
        test: the images that are looked at.
        read_train: returns the training images; called when something is trained.
        build: returns a fresh model for a seed; see `small_network`.
        given: a trained model of the user, which then is the only one.
        eps: the Linf budget of adversarial training, in pixels.
        epochs: of each training.
        seed: of weights, orders and attacks.
        progress: told of every step of a training.
        parts: a folder in which long experiments keep what is done; None keeps nothing.

    >>> from saddlepoint.data import load_data
    >>> test = load_data("digits", split="test", limit=4)
    >>> bench = Bench(test, lambda: load_data("digits", split="train", limit=64), epochs=1)
    >>> list(bench.models), bench.images.shape
    (['standard', 'adversarial'], torch.Size([4, 1, 8, 8]))
    """

    test: ImageData
    read_train: Callable[[], ImageData]
    build: Callable[[int], nn.Module] | None = None
    given: nn.Module | None = None
    eps: Positive = 0.2
    epochs: Count = 10
    seed: int = 0
    progress: Progress | None = None
    parts: Path | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        check_seed(self.seed)

    @property
    def device(self) -> torch.device:
        """The device of the images; models are trained there."""
        return self.test.images(torch.arange(1)).device

    @property
    def images(self) -> Float[Tensor, "n ..."]:
        """All images that are looked at."""
        return self.test.images(torch.arange(len(self.test)))

    @property
    def labels(self) -> Int64[Tensor, " n"]:
        """Their labels."""
        return self.test.labels.to(self.device)

    @cached_property
    def train(self) -> ImageData:
        """The training images."""
        return self.read_train()

    @cached_property
    def models(self) -> Mapping[str, nn.Module]:
        """The user's model as `given`, or else two of one architecture: `standard` and
        `adversarial`, the latter trained on PGD's images (Madry et al. 2018, arXiv:1706.06083).
        """
        if self.given is not None:
            return {"given": self.given}
        inner = PGD(Linf(self.eps), steps=5)
        return {
            "standard": self.trained("standard"),
            "adversarial": self.trained("adversarial", AdversarialTraining(inner)),
        }

    def part(self, name: str, compute: Callable[[], Any]) -> Any:
        """Return what `compute` returns, JSON values; of a part that was done before what it was."""
        if self.parts is None:
            return compute()
        path = self.parts / f"{name}.json"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, compute())
        return read_json(path)

    def trained(
        self,
        name: str,
        objective: TrainingObjective | None = None,
        *,
        data: ImageData | None = None,
        build: Callable[[int], nn.Module] | None = None,
        seed: int | None = None,
        longer: int = 1,
    ) -> nn.Module:
        """Return a network trained quickly on the training images.

        Args:
            name: of the training, for the progress.
            objective: what it minimises; None is the cross-entropy of clean images.
            data: other training images.
            build: another architecture, from a seed to a fresh model.
            seed: another seed than the bench's.
            longer: so many times the bench's epochs, for networks whose epochs take no time.
        """
        seed = self.seed if seed is None else seed
        data = self.train if data is None else data
        builder = build or self.build
        model = small_network(data, seed) if builder is None else builder(seed)
        recipe = Recipe(
            objective=objective or Standard(), epochs=longer * self.epochs, batch_size=64
        )

        told = Course(self.progress, 1).next(f"{name} network")
        return train(model.to(self.device), data, recipe, seed=seed, progress=told).model


def small_network(data: ImageData, seed: int) -> nn.Module:
    """Return the lab's own small CNN, untrained, with the normalisation of the data inside.

    >>> from saddlepoint.data import load_data
    >>> small_network(load_data("digits", limit=1), seed=0)(torch.rand(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """
    net = build_model(
        "zoo:simple-cnn", classes=len(data.classes), shape=data.shape, seed=seed, options=_SMALL
    )
    return Normalised(net, data.mean, data.std)


def every_other(data: ImageData, start: int) -> TensorData:
    """Return every second image from `start` on, with the statistics of the whole.

    >>> from saddlepoint.data import load_data
    >>> len(every_other(load_data("digits", split="train", limit=5), 1))
    2
    """
    rows = torch.arange(start, len(data), 2)
    return TensorData.of(
        data.images(rows), data.labels.cpu()[rows], name=data.name, split=data.split,
        classes=data.classes, mean=data.mean, std=data.std,
    )  # fmt: skip
