"""Where does the game of GANs stand on images, with either loss of the generator?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from saddlepoint.defences import load_recipe
from saddlepoint.errors import InputError
from saddlepoint.evaluation.generative import (
    ClassHistogram,
    class_histogram,
    draw_samples,
    nearest,
    parzen_log_likelihood,
)
from saddlepoint.evaluation.generative.measures import LEAST
from saddlepoint.lab.bench import Bench
from saddlepoint.lab.experiment import Settings
from saddlepoint.lab.outputs import predictions
from saddlepoint.lab.table import Cell, Table
from saddlepoint.objectives import GAN, GENERATOR_LOSSES
from saddlepoint.option_values import Count, Natural
from saddlepoint.progress import Course
from saddlepoint.streams import derive
from saddlepoint.training import train
from saddlepoint.zoo import build_model, discriminator_named, is_generator

_RECIPES = {"gan-mlp": "gan", "gan-dcgan": "dcgan"}
_COMPARED = 1000  # samples, and test images, whose nearest training image is looked for


@dataclass(frozen=True)
class GameSettings(Settings):
    """Settings of `run_gan_game`; the epochs of all trainings are the bench's.

    Args:
        generator: gan-mlp or gan-dcgan, with its recipe.
        maps: of a gan-dcgan before its last layer; 0 is its default.
        discriminator: its name; see `saddlepoint.zoo.DISCRIMINATORS`. "" is the recipe's.
        losses: of the generator.
        seeds: trainings with each.
        samples: that are drawn of each generator.

    >>> GameSettings(generator="simple-cnn")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: simple-cnn makes no images; give gan-mlp or gan-dcgan
    """

    generator: str = "gan-mlp"
    maps: Natural = 0
    discriminator: str = ""
    losses: tuple[str, ...] = tuple(GENERATOR_LOSSES)
    seeds: Count = 1
    samples: Count = 10_000

    def __post_init__(self) -> None:
        super().__post_init__()
        if not is_generator(self.generator) or self.generator not in _RECIPES:
            raise InputError(f"{self.generator} makes no images; give gan-mlp or gan-dcgan")
        if self.discriminator:
            discriminator_named(self.discriminator)
        for loss in self.losses:
            GAN(loss=loss)


@dataclass(frozen=True, eq=False)
class Played:
    """A training of one loss and seed.

    Attributes:
        metrics: of every epoch, as training tells them.
        histogram: the classes that a classifier takes the samples for.
        distance: the median from samples to the nearest training image; of test images.
        log_likelihood, error: Parzen's, in nats, and its standard error.
    """

    loss: str
    seed: int
    metrics: tuple[Mapping[str, Any], ...]
    histogram: ClassHistogram
    distance: tuple[float, float]
    log_likelihood: float
    error: float


@dataclass(frozen=True, eq=False)
class GameFindings:
    """What was found.

    Attributes:
        games: of each loss and seed.
        classes: names.
        accuracy: of the classifier on the test images.

    >>> metrics = ({"epoch": 1, "discriminator_loss": 1.3, "d_of_data": 0.6, "d_of_samples": 0.4},)
    >>> one = Played("minimax", 1, metrics, ClassHistogram((9, 1)), (2.0, 1.0), 50.0, 2.0)
    >>> GameFindings((one,), ("0", "1"), 0.99).tables()["summary"].rows
    (('minimax', 1, 0.6, 0.4, 1.3, 0.1, 0, 50.0, 2.0, 2.0, 1.0, 0.99),)
    """

    games: tuple[Played, ...]
    classes: tuple[str, ...]
    accuracy: float

    def tables(self) -> Mapping[str, Table]:
        """Return a short table, every epoch, and the classes of the samples."""
        rows: list[tuple[Cell, ...]] = [
            (
                g.loss, g.seed, *(g.metrics[-1][name] for name in _OF_D), min(g.histogram.shares),
                len(g.histogram.missing(LEAST)), g.log_likelihood, g.error, *g.distance, self.accuracy,
            )
            for g in self.games
        ]  # fmt: skip
        epochs = tuple(
            (g.loss, g.seed, each["epoch"], *(each[name] for name in _OF_D),
             *(each.get(f"test_{name}", float("nan")) for name in _OF_D))
            for g in self.games for each in g.metrics
        )  # fmt: skip
        shares = tuple(
            (g.loss, g.seed, name, count, share)
            for g in self.games
            for name, count, share in zip(
                self.classes, g.histogram.counts, g.histogram.shares, strict=True
            )
        )
        told = ("D of data", "D of samples", "loss of D")
        return {
            "summary": Table(
                ("loss", "seed", *told, "least class", "classes left out", "log-likelihood", "se",
                 "nearest", "of test images", "classifier"), tuple(rows),
            ),
            "epochs": Table(
                ("loss", "seed", "epoch", *told, *(f"{each}, test" for each in told)), epochs
            ),
            "classes": Table(("loss", "seed", "class", "samples", "share"), shares),
        }  # fmt: skip


_OF_D = ("d_of_data", "d_of_samples", "discriminator_loss")


def run_gan_game(bench: Bench, settings: GameSettings) -> GameFindings:
    """Train a generator with each loss, follow D by epoch, and measure the samples.

    D would be 1/2 on data and on samples at the saddle point, its loss log 4 = 1.386; where it is
    on images is what this says. A classifier is trained for the bench's epochs to count classes.

    >>> from saddlepoint.data import load_data
    >>> data = load_data("digits", limit=40)
    >>> found = run_gan_game(Bench(data, lambda: data, epochs=1), GameSettings(samples=20))
    >>> [each.loss for each in found.games]
    ['non-saturating', 'minimax']
    """
    classifier = bench.trained("standard")
    right = predictions(classifier, bench.images)[0] == bench.labels
    course = Course(bench.progress, settings.seeds * len(settings.losses))
    half = len(bench.test) // 2
    images = bench.images.cpu()
    games = []
    held = nearest(images[:_COMPARED], bench.train).median
    for i in range(settings.seeds):
        seed = derive(bench.seed, "repetition", i)
        for loss in settings.losses:
            recipe = load_recipe(_RECIPES[settings.generator])
            own: Any = recipe.objective
            changed = replace(
                own, loss=loss, discriminator=settings.discriminator or own.discriminator
            )
            result = train(
                _generator(settings, bench, seed), bench.train,
                replace(recipe, objective=changed, epochs=bench.epochs),
                test=bench.test, seed=seed, progress=course.next(f"{loss}, seed {i + 1}"),
            )  # fmt: skip
            samples = draw_samples(result.model, settings.samples, seed)
            parzen = parzen_log_likelihood(samples, images[:half][:1000], images[half:])
            games.append(
                Played(
                    loss, i + 1, tuple(result.metrics), class_histogram(classifier, samples),
                    (nearest(samples[:_COMPARED], bench.train).median, held), parzen.mean, parzen.error,
                )
            )  # fmt: skip
    return GameFindings(tuple(games), bench.train.classes, float(right.double().mean()))


def _generator(settings: GameSettings, bench: Bench, seed: int) -> nn.Module:
    options = {"maps": settings.maps} if settings.maps and "dcgan" in settings.generator else {}
    shape = tuple(bench.train.shape)
    net = build_model(settings.generator, classes=10, shape=shape, seed=seed, options=options)
    return net.to(torch.device(bench.device))
