"""What the experiments on masked autoencoders share: encoders, pre-training, labels, and tuning."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import nn

from saddlepoint.data import AUGMENTATIONS, ImageData, TensorData
from saddlepoint.defences import Optimiser, Recipe, Schedule, Standard, linear_probe, load_recipe
from saddlepoint.errors import InputError, unknown
from saddlepoint.lab.bench import Bench
from saddlepoint.lab.experiment import Settings
from saddlepoint.lab.new_classes import drawn
from saddlepoint.lab.vision_networks import VisionNetwork
from saddlepoint.objectives import MAE
from saddlepoint.option_values import Count, Positive
from saddlepoint.progress import Progress
from saddlepoint.streams import derive, generator
from saddlepoint.training import accuracy, train
from saddlepoint.zoo import vit_of

Method = Literal["fine-tuning", "linear probe"]
METHODS: tuple[Method, ...] = ("fine-tuning", "linear probe")
_LAYER_DECAY = 0.75


@dataclass(frozen=True)
class PretrainingSettings(Settings):
    """Settings of every experiment that pre-trains; the epochs of pre-training are the bench's.

    Args:
        patch: side of the patches of the vit-micro, where the bench has no model.
        seeds: repetitions of all.
        augmentation: of every training; digits must not be flipped.
        tuned: epochs with labels.
        batch_size: with labels.
        rates: of fine-tuning and of a training from scratch, each chosen by a fifth of its labels.
        probe_rate: of the linear probe.

    >>> PretrainingSettings(augmentation="flip")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: unknown augmentation 'flip'; did you mean 'crop-flip'? (known: ...)
    """

    patch: Count = 4
    seeds: Count = 3
    augmentation: str = "none"
    tuned: Count = 30
    batch_size: Count = 32
    rates: tuple[Positive, ...] = (0.0005, 0.002)
    probe_rate: Positive = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._sort("rates")
        if self.augmentation not in AUGMENTATIONS:
            raise unknown("augmentation", self.augmentation, AUGMENTATIONS)


def untrained(bench: Bench, settings: PretrainingSettings, seed: int) -> nn.Module:
    """Return a fresh vision transformer of a seed: the bench's model, or a vit-micro.

    Raises `InputError` for a bench with a trained model, and a model that is no encoder.

    >>> from saddlepoint.data import load_data
    >>> bench = Bench(load_data("digits", limit=4), lambda: load_data("digits", limit=4))
    >>> type(untrained(bench, PretrainingSettings(patch=2), 0)).__name__
    'Normalised'
    """
    if bench.given is not None:
        raise InputError("the experiment trains its own encoders; leave the weights out")
    if bench.build is not None:
        model = bench.build(seed)
    else:
        network = VisionNetwork("vit-micro", "mae", {"patch": settings.patch})
        model = network.build(bench.train, seed)
    vit_of(model)
    return model.to(bench.device)


def pretraining(bench: Bench, settings: PretrainingSettings, objective: MAE) -> Recipe:
    """Return the recipe `mae` with this objective, for the bench's epochs.

    >>> from saddlepoint.data import load_data
    >>> bench = Bench(load_data("digits", limit=4), lambda: load_data("digits"), epochs=3)
    >>> pretraining(bench, PretrainingSettings(), MAE(0.5)).epochs
    3
    """
    recipe = load_recipe("mae")
    return replace(
        recipe, objective=objective, epochs=bench.epochs, augmentation=settings.augmentation
    )


def labelled(data: ImageData, share: float, seed: int) -> TensorData:
    """Return a share of the images, equally many of each class, at least one; drawn by the seed.

    Raises `InputError` where a class has fewer.

    >>> from saddlepoint.data import load_data
    >>> len(labelled(load_data("digits", split="train", limit=300), 0.1, 0))
    30
    """
    labels = data.labels.cpu()
    shots = max(1, round(share * len(data) / len(data.classes)))
    return _part(data, drawn(labels, shots, derive(seed, "labels", shots)))


def tuned(
    model: nn.Module,
    data: ImageData,
    settings: PretrainingSettings,
    method: Method,
    *,
    fresh: bool,
    seed: int,
    progress: Progress | None = None,
) -> tuple[nn.Module, float]:
    """Train an encoder's classifier on labelled images; return it, and the rate that was chosen.

    Fine-tuning chooses its rate by the accuracy on a fifth of the images, held out, and then trains
    on all; its rate falls from layer to layer where the encoder was pre-trained, and else is one.

    Args:
        model: it is left as it is.
        data: labelled images.
        method: of `METHODS`.
        fresh: whether the encoder is untrained.
        seed: of orders, and of what is held out.

    >>> from saddlepoint.data import load_data
    >>> data = load_data("digits", split="train", limit=40)
    >>> settings = PretrainingSettings(patch=2, tuned=1, rates=(0.001,))
    >>> start = untrained(Bench(data, lambda: data), settings, 0)
    >>> tuned(start, data, settings, "linear probe", fresh=True, seed=0)[1]
    0.1
    """

    def learn(rate: float, images: ImageData) -> nn.Module:
        recipe = _recipe(settings, method, rate, 1.0 if fresh else _LAYER_DECAY)
        return train(copy.deepcopy(model), images, recipe, seed=seed, progress=progress).model

    rate = settings.probe_rate
    if method == "fine-tuning":
        rate = _best(settings.rates, data, learn, seed)
    return learn(rate, data), rate


def _best(
    rates: Sequence[float],
    data: ImageData,
    learn: Callable[[float, ImageData], nn.Module],
    seed: int,
) -> float:
    if len(rates) == 1:
        return rates[0]
    order = torch.randperm(len(data), generator=generator(seed, "held out"))
    held, rest = order[: max(1, len(data) // 5)], order[max(1, len(data) // 5) :]
    shown = _part(data, held)
    return max(rates, key=lambda rate: accuracy(learn(rate, _part(data, rest)), shown))


def _recipe(
    settings: PretrainingSettings, method: Method, rate: float, layer_decay: float
) -> Recipe:
    schedule = Schedule("cosine", warmup=0.1)
    common = replace(
        Recipe(epochs=settings.tuned, batch_size=settings.batch_size, schedule=schedule),
        augmentation=settings.augmentation,
    )
    if method == "linear probe":
        sgd = Optimiser("sgd", rate, nesterov=False, weight_decay=0.0)
        return replace(common, optimiser=sgd, transforms=(linear_probe,))
    adamw = Optimiser(
        "adamw", rate, weight_decay=0.05, decay_on="weights", layer_decay=layer_decay, clip_norm=1.0
    )
    return replace(common, objective=Standard(label_smoothing=0.1), optimiser=adamw)


def _part(data: ImageData, rows: torch.Tensor) -> TensorData:
    return TensorData.of(
        data.images(rows), data.labels.cpu()[rows], name=data.name, split=data.split,
        classes=data.classes, mean=data.mean, std=data.std,
    )  # fmt: skip
