"""How much is learned from a few images of new classes, on features of networks that never saw them?"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from saddlepoint.attacks import PGD
from saddlepoint.data import TensorData
from saddlepoint.defences import Optimiser, Recipe, Schedule
from saddlepoint.errors import InputError
from saddlepoint.lab.bench import Bench
from saddlepoint.lab.experiment import Settings
from saddlepoint.lab.new_classes import drawn, of_classes, with_new_head
from saddlepoint.lab.outputs import predictions
from saddlepoint.lab.ridge import Ridge, features_of
from saddlepoint.lab.spread import Spread
from saddlepoint.lab.table import Cell, Table
from saddlepoint.lab.vision_networks import VisionNetwork, network_of
from saddlepoint.option_values import Count, Positive
from saddlepoint.progress import Course
from saddlepoint.streams import derive, generator
from saddlepoint.threat import Linf
from saddlepoint.training import train

SOURCES = ("other classes", "untrained", "pixels")
"""Where features come from: a network trained on the other classes, the same untrained, no network."""
NO_NETWORK = "none"
HEADS: tuple[Literal["zero", "random"], ...] = ("zero", "random")


@dataclass(frozen=True)
class FewShotSettings(Settings):
    """Settings of `run_few_shot`; the epochs of the first training are the bench's.

    Args:
        networks: their names; see `saddlepoint.lab.vision_networks.NETWORKS`.
        patch: side of the patches of a vit-micro.
        seeds: trainings of each, and splits of the classes.
        shots: images of each new class.
        episodes: draws of them.
        alpha: of the ridge regression, on features of length 1.
        tuned: epochs of fine-tuning; with a new head at zero, or drawn at random.
        learning_rate: of fine-tuning, by SGD with momentum 0.9 and clipping at 1.
        eps: Linf, in pixels, of the PGD that fine-tuned networks are measured by.
        steps: of it.

    >>> FewShotSettings(shots=(5, 1)).shots
    (1, 5)
    """

    networks: tuple[str, ...] = ("resnet20", "vit-micro")
    patch: Count = 2
    seeds: Count = 3
    shots: tuple[Count, ...] = (1, 2, 5, 10, 20)
    episodes: Count = 20
    alpha: Positive = 0.1
    tuned: Count = 5
    learning_rate: Positive = 0.01
    eps: Positive = 8 / 255
    steps: Count = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        self._sort("shots")
        for name in self.networks:
            network_of(name)


@dataclass(frozen=True, eq=False)
class Shots:
    """The accuracy on new classes of one seed and number of images; that of every episode."""

    network: str
    source: str
    seed: int
    shots: int
    accuracy: tuple[float, ...]


@dataclass(frozen=True)
class Tuned:
    """A network after fine-tuning on all images of the new classes."""

    network: str
    head: str
    seed: int
    clean: float
    robust: float


@dataclass(frozen=True, eq=False)
class FewShot:
    """What was found.

    Attributes:
        shots: ridge regressions.
        tuned: fine-tuned networks.
        classes: new ones, of which chance gets one.

    >>> found = FewShot((Shots("net", "untrained", 1, 5, (0.5, 0.75)),), (), 2)
    >>> found.tables()["summary"].rows
    (('net', 'untrained', 5, 0.625, nan),)
    """

    shots: tuple[Shots, ...]
    tuned: tuple[Tuned, ...]
    classes: int

    def means(self, network: str, source: str) -> dict[int, list[float]]:
        """Return the mean over episodes of each seed, by the number of images of a class."""
        found: dict[int, list[float]] = {}
        for each in self.shots:
            if (each.network, each.source) == (network, source):
                found.setdefault(each.shots, []).append(Spread.of(each.accuracy).mean)
        return found

    @property
    def lines(self) -> tuple[tuple[str, str], ...]:
        """The pairs of network and source, in their order."""
        return tuple(dict.fromkeys((each.network, each.source) for each in self.shots))

    def tables(self) -> Mapping[str, Table]:
        """Return means over seeds, every episode, and the fine-tuned networks."""
        rows: list[tuple[Cell, ...]] = [
            (network, source, shots, *Spread.of(values))
            for network, source in self.lines
            for shots, values in self.means(network, source).items()
        ]
        episodes = tuple(
            (s.network, s.source, s.seed, s.shots, i, accuracy)
            for s in self.shots for i, accuracy in enumerate(s.accuracy, start=1)
        )  # fmt: skip
        heads = tuple((t.network, t.head, t.seed, t.clean, t.robust) for t in self.tuned)
        return {
            "summary": Table(("network", "features", "images per class", "accuracy", "sd"), tuple(rows)),
            "episodes": Table(
                ("network", "features", "seed", "images per class", "episode", "accuracy"), episodes
            ),
            "heads": Table(("network", "head", "seed", "clean", "robust"), heads),
        }  # fmt: skip


def run_few_shot(bench: Bench, settings: FewShotSettings) -> FewShot:
    """Train each network on half of the classes, and learn the other half from n images of each.

    The features of the trained network are frozen, and a ridge regression in closed form is fitted to
    n images of every new class, drawn from the training images anew in every episode; it is measured
    on the test images of those classes. Controls: the same network untrained, and the pixels. Then the
    network is fine-tuned on all training images of the new classes, with a head that begins at zero
    and with one that is drawn at random. After Dosovitskiy et al. 2021, arXiv:2010.11929, sections 3
    and 4.

    Raises `InputError` for a given model, which saw all classes, for fewer than four of them, and for
    more images of a class than there are.

    >>> from saddlepoint.data import load_data
    >>> test = load_data("digits", split="test", limit=40)
    >>> train = load_data("digits", split="train", limit=100)
    >>> settings = FewShotSettings(("vit-micro",), 4, 1, (1, 2), 2, tuned=1, steps=1)
    >>> found = run_few_shot(Bench(test, lambda: train, epochs=1), settings)
    >>> found.lines[1], len(found.shots), len(found.tuned), found.classes
    (('vit-micro', 'other classes'), 6, 2, 5)
    """
    if bench.given is not None:
        raise InputError("few-shot trains on half of the classes itself; leave the weights out")
    count = len(bench.train.classes)
    if count < 4:
        raise InputError(f"{bench.train.name} has {count} classes; few-shot needs 4, two to learn")
    course = Course(bench.progress, settings.seeds * len(settings.networks) * 3)
    shots: list[Shots] = []
    tuned: list[Tuned] = []
    for i in range(settings.seeds):
        seed = derive(bench.seed, "repetition", i)
        order = torch.randperm(count, generator=generator(seed, "classes")).tolist()
        old, new = sorted(order[: count // 2]), sorted(order[count // 2 :])
        past, support, query = (
            of_classes(data, which)
            for data, which in ((bench.train, old), (bench.train, new), (bench.test, new))
        )
        shots += _episodes(None, support, query, settings, (NO_NETWORK, SOURCES[2], i + 1), seed)
        for name in settings.networks:
            network = _network(name, settings)
            fresh = network.build(past, seed).to(bench.device)
            told = course.next(f"{name}, seed {i + 1}")
            model = train(
                copy.deepcopy(fresh),
                past,
                network.recipe_of(bench.epochs, bench.test.shape),
                seed=seed,
                progress=told,
            ).model.eval()
            for source, each in zip(SOURCES[:2], (model, fresh.eval()), strict=True):
                shots += _episodes(each, support, query, settings, (name, source, i + 1), seed)
            for head in HEADS:
                told = course.next(f"{name}, seed {i + 1}, head at {head}")
                start = with_new_head(model, len(new), zero=head == "zero", seed=seed)
                ready = train(
                    start, support, _tuning(settings), seed=seed, progress=told
                ).model.eval()
                tuned.append(Tuned(name, head, i + 1, *_measured(ready, query, settings, seed)))
    return FewShot(tuple(shots), tuple(tuned), count - count // 2)


def _network(name: str, settings: FewShotSettings) -> VisionNetwork:
    known = network_of(name)
    if name != "vit-micro":
        return known
    return VisionNetwork(name, known.recipe, {"patch": settings.patch})


def _features(model: nn.Module | None, data: TensorData) -> Float[Tensor, "n d"]:
    images = data.images(torch.arange(len(data)))
    if model is None:
        return functional.normalize(images.flatten(1).cpu(), dim=1)
    return features_of(model, images)


def _episodes(
    model: nn.Module | None,
    support: TensorData,
    query: TensorData,
    settings: FewShotSettings,
    which: tuple[str, str, int],
    seed: int,
) -> list[Shots]:
    """Return the accuracies of `which` network, source and seed; the draws are the same for all."""
    known, asked = _features(model, support), _features(model, query)
    labels, truth = support.labels.cpu(), query.labels.cpu()
    found = []
    for shots in settings.shots:
        accuracy = []
        for episode in range(settings.episodes):
            rows = drawn(labels, shots, derive(seed, "episode", shots, episode))
            fit = Ridge.fitted(known[rows], labels[rows], len(support.classes), settings.alpha)
            accuracy.append(float((fit.predictions(asked) == truth).double().mean()))
        found.append(Shots(*which, shots, tuple(accuracy)))
    return found


def _tuning(settings: FewShotSettings) -> Recipe:
    optimiser = Optimiser(
        "sgd", settings.learning_rate, nesterov=False, weight_decay=0.0, clip_norm=1.0
    )
    return Recipe(
        epochs=settings.tuned, batch_size=64, optimiser=optimiser, schedule=Schedule("cosine")
    )


def _measured(
    model: nn.Module, query: TensorData, settings: FewShotSettings, seed: int
) -> tuple[float, float]:
    """Return the accuracy on clean images and on PGD's."""
    ids = torch.arange(len(query))
    x = query.images(ids)
    y = query.labels.to(x.device)
    found = PGD(Linf(settings.eps), steps=settings.steps)(
        model, x, y, seed=seed, ids=ids.to(x.device)
    )
    right = predictions(model, x)[0] == y
    return float(right.double().mean()), float((~found.success).double().mean())
