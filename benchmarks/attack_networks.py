"""The two networks of `attacks.py`, one trained adversarially and one normally, and their images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from saddlepoint.attacks import PGD
from saddlepoint.cli.model import build, read_given
from saddlepoint.cli.options import ModelOptions
from saddlepoint.data import ImageData, TensorData, load_data
from saddlepoint.defences import AdversarialTraining, Optimiser, Recipe
from saddlepoint.errors import InputError
from saddlepoint.model import Normalised
from saddlepoint.reading import read_json
from saddlepoint.threat import Linf
from saddlepoint.training import train
from saddlepoint.zoo.simple_cnn import SimpleCNN

EPS = 2 / 255
EPOCHS = 6


@dataclass(frozen=True)
class Subject:
    """A frozen network and test images in order, the ones it gets wrong among them."""

    name: str
    model: nn.Module
    images: Tensor
    labels: Tensor

    def first(self, count: int, *, right: bool) -> tuple[Tensor, Tensor]:
        """Return the first images, or the first ones that are classified correctly."""
        if not right:
            return self.images[:count], self.labels[:count]
        with torch.no_grad():
            rows = (self.model(self.images).argmax(1) == self.labels).nonzero()[:count, 0]
        return self.images[rows], self.labels[rows]


def subjects(
    names: list[str], folders: dict[str, Path | None], data: str | None, limit: int
) -> dict[str, Subject]:
    """Return the networks of those names ("robust", "standard"): loaded where a run is given."""
    found: dict[str, Subject] = {}
    for name in names:
        folder = folders[name]
        if folder is None:
            model, test = _trained(name == "robust")
            where = f"trained here on {test.name}"
        else:
            identity = read_json(folder / "run.json")["config"]["identity"]
            test = load_data(data or identity["data"], split="test", limit=limit)
            words = ModelOptions(model=identity["model"], weights=folder)
            model = build(words, test, read_given(folder)).model
            where = f"{folder.name}, images of {test.name}"
        model.eval().requires_grad_(False)
        rows = torch.arange(min(limit, len(test)))
        found[name] = Subject(f"{name} ({where})", model, test.images(rows), test.labels[rows])
    return found


def _trained(adversarially: bool) -> tuple[nn.Module, ImageData]:
    data, test = _cifar() or _digits()
    torch.manual_seed(0)
    net = SimpleCNN(classes=10, channels=3, size=32, widths=(16, 32, 64), kernel=3, hidden=(128,))
    model = Normalised(net, data.mean, data.std)
    recipe = Recipe(epochs=EPOCHS, optimiser=Optimiser(learning_rate=0.1))
    if adversarially:
        attack = PGD(Linf(EPS), steps=2, step_size=EPS / 2)
        recipe = Recipe(AdversarialTraining(attack), epochs=EPOCHS, optimiser=recipe.optimiser)
    train(model, data, recipe)
    return model, test


def _cifar() -> tuple[TensorData, ImageData] | None:
    try:
        data = load_data("cifar10-jpeg", split="train", limit=10_000)
        return (
            (data, load_data("cifar10-jpeg", split="test"))
            if isinstance(data, TensorData)
            else None
        )
    except InputError:
        return None


def _digits() -> tuple[TensorData, ImageData]:
    """Return digits as large as CIFAR's images and with as many channels."""
    parts = []
    for split in ("train", "test"):
        data = load_data("digits", split=split)
        pixels = functional.interpolate(data.images(torch.arange(len(data))), size=(32, 32))
        pixels = pixels.expand(-1, 3, -1, -1).contiguous()
        parts.append(TensorData.of(pixels, data.labels, name="digits-32"))
    return parts[0], parts[1]
