"""What a trained perturber is worth: AdvGAN and a constant one against PGD, in accuracy and in time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from saddlepoint.attacks import PGD, Transfer
from saddlepoint.defences import Optimiser, Recipe, Schedule
from saddlepoint.lab.bench import Bench
from saddlepoint.lab.experiment import Settings
from saddlepoint.lab.outputs import predictions
from saddlepoint.lab.panels import keys_of, legend_above, looks, sheet
from saddlepoint.lab.table import Table
from saddlepoint.objectives import AdvGANGame
from saddlepoint.option_values import Count, Positive
from saddlepoint.progress import Course
from saddlepoint.threat import Linf
from saddlepoint.training import train
from saddlepoint.zoo import ConstantPerturber, Perturber

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class AdvGANSettings(Settings):
    """Settings of `run_advgan`.

    Args:
        eps: Linf, in pixels.
        perturber_epochs: of both perturbers.
        steps: of PGD.

    >>> AdvGANSettings().steps
    40
    """

    eps: Positive = 0.2
    perturber_epochs: Count = 30
    steps: Count = 40


@dataclass(frozen=True)
class Amortised:
    """What an attack leaves, and what it costs: passes of the attacked model and of a perturber for one
    test image, passes of training beside them, seconds for one image.
    """

    attack: str
    right: int
    images: int
    test_passes: float
    perturber_passes: int
    training_passes: int
    seconds: float

    @property
    def accuracy(self) -> float:
        """The share of images that stay right."""
        return self.right / self.images


@dataclass(frozen=True)
class AdvGANFound:
    """What was found.

    >>> AdvGANFound((Amortised("none", 3, 4, 1.0, 0, 0, 0.001),)).tables()["summary"].rows[0][:2]
    ('none', 0.75)
    """

    rows: tuple[Amortised, ...]

    def tables(self) -> Mapping[str, Table]:
        """Return a row for each attack."""
        columns = (
            "attack", "accuracy", "test passes", "perturber passes", "training passes",
            "seconds per image",
        )  # fmt: skip
        cells = tuple(
            (r.attack, r.accuracy, r.test_passes, r.perturber_passes, r.training_passes, r.seconds)
            for r in self.rows
        )
        return {"summary": Table(columns, cells)}


def run_advgan(bench: Bench, settings: AdvGANSettings) -> AdvGANFound:
    """Train a perturber and a constant one against a network on training images, and compare them on
    test images with PGD, and with PGD on another network of the same architecture, transferred.

    Time and passes are of the attack alone, without the judge, which is the same for all.
    After Xiao et al. 2018, arXiv:1801.02610.

    >>> from saddlepoint.data import load_data
    >>> test = load_data("digits", split="test", limit=4)
    >>> train = load_data("digits", split="train", limit=64)
    >>> found = run_advgan(Bench(test, lambda: train, epochs=1), AdvGANSettings(perturber_epochs=1, steps=2))
    >>> [(row.attack, row.training_passes) for row in found.rows][1:3]
    [('PGD-2', 0), ('advgan', 128)]
    """
    model = bench.given if bench.given is not None else bench.trained("standard")
    model, other = model.eval(), bench.trained("other", seed=bench.seed + 1).eval()
    x, y = bench.images, bench.labels
    ids, ball = torch.arange(len(x), device=x.device), Linf(settings.eps)
    clean = predictions(model, x)[0] == y
    rows = [Amortised("none", int(clean.sum()), len(x), 0.0, 0, 0, 0.0)]

    def add(name: str, moved: torch.Tensor, began: float, *passes: float) -> None:
        seconds = (time.perf_counter() - began) / len(x)
        right = int((predictions(model, moved)[0] == y).sum())
        test, own, training = passes
        rows.append(Amortised(name, right, len(x), test, int(own), int(training), seconds))

    plain, both = PGD(ball, steps=settings.steps, stop="never"), 2 * settings.steps
    began = time.perf_counter()
    add(f"PGD-{settings.steps}", plain(model, x, y, seed=bench.seed, ids=ids).adversarials, began,
        both, 0, 0)  # fmt: skip
    c, h, w = bench.test.shape
    course = Course(bench.progress, 2)
    for name, kind in {"advgan": Perturber, "constant": ConstantPerturber}.items():
        net, spent = _trained(kind(c, (h, w)), model, bench, settings, course, name)
        began = time.perf_counter()
        with torch.no_grad():
            moved = (x + settings.eps * net(x)).clamp(0, 1)
        add(name, moved, began, 0, 1, spent)
    began = time.perf_counter()
    found = Transfer(plain, other)(model, x, y, seed=bench.seed, ids=ids)
    add("transferred PGD", found.adversarials, began, 0, 0, 0)
    return AdvGANFound(tuple(rows))


def _trained(
    net: nn.Module,
    target: nn.Module,
    bench: Bench,
    settings: AdvGANSettings,
    course: Course,
    name: str,
) -> tuple[nn.Module, int]:
    """Return a perturber that was trained against the target, and the passes of the target."""
    game = AdvGANGame(threat=Linf(settings.eps)).against(target)
    recipe = Recipe(
        objective=game, epochs=settings.perturber_epochs, batch_size=128,
        optimiser=Optimiser("adam", 1e-3, weight_decay=0.0), schedule=Schedule("cosine"),
    )  # fmt: skip
    train(net.to(bench.device), bench.train, recipe, seed=bench.seed, progress=course.next(name))
    return net.eval(), 2 * settings.perturber_epochs * len(bench.train)


def draw_advgan(found: AdvGANFound) -> Figure:
    """Draw accuracy against seconds per image, a point per attack.

    >>> rows = (Amortised("none", 3, 4, 0, 0, 0, 0.0), Amortised("PGD-40", 1, 4, 80, 0, 0, 0.01))
    >>> len(draw_advgan(AdvGANFound(rows)).axes)
    1
    """
    attacks = [row for row in found.rows if row.attack != "none"]
    named = looks(row.attack for row in attacks)
    with sheet(5.2, 3.2) as figure:
        axes = figure.subplots()
        for row in attacks:
            line = {**named[row.attack].line, "linestyle": "none", "markersize": 6}
            axes.plot([1000 * row.seconds], [100 * row.accuracy], **line)
        clean = [100 * row.accuracy for row in found.rows if row.attack == "none"]
        axes.axhline(clean[0], color="#808080", lw=0.8)
        axes.set_xscale("log")
        axes.set_ylim(-4, 104)
        axes.set_xlabel("milliseconds per image (grey: no attack)")
        axes.set_ylabel("accuracy (%)")
        legend_above(figure, keys_of(named), columns=2)
    return figure
