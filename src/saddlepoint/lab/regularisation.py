"""Is adversarial training a regulariser, and is noise, weight decay or a hidden step as good?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated

from torch import Tensor, nn

from saddlepoint.attacks import FGSM, UniformNoise
from saddlepoint.defences import (
    Mixed,
    Optimiser,
    Recipe,
    Schedule,
    Standard,
    TrainingObjective,
)
from saddlepoint.lab.bench import Bench
from saddlepoint.lab.early_stopping import EpochSearch, search_epochs
from saddlepoint.lab.experiment import Settings
from saddlepoint.lab.regularisation_findings import (
    Regularisation,
    Transfer,
    Trial,
    measure,
    transfers_between,
)
from saddlepoint.lab.regularisers import (
    HiddenStep,
    NoisyTraining,
    RandomSigns,
    first_layer_l1,
    first_weights,
)
from saddlepoint.option_values import Count, Fraction, Positive, Whole
from saddlepoint.progress import Course
from saddlepoint.streams import derive
from saddlepoint.threat import Linf
from saddlepoint.training import train
from saddlepoint.zoo import build_model

DROPOUT, ADVERSARIAL = "dropout", "adversarial"
_BATCH = 100
_RATE, _OF_UNITS = 1e-3, 240  # Adam's rate, and the width that it is for


@dataclass(frozen=True)
class RegularisationSettings(Settings):
    """Settings of `run_regularisation`.

    Args:
        eps: the Linf budget of training and of the attacks.
        units: of each hidden layer; the controls have the fewest.
        pieces: of each unit.
        reach: of the first weights.
        seeds: trainings of each kind.
        longer: at most so many times the bench's epochs.
        patience: epochs without a better validation error that end the search.
        validation: the share of the training images that is held out in the search.
        l1: λ, the weight of the L1 norm of the first layer.
        hidden_eps: of the step that is added to hidden activations.
        angle: by which they are rotated, in radians.
        steps: of PGD.

    >>> RegularisationSettings().units
    (240, 1600)
    """

    eps: Positive = 0.25
    units: tuple[Count, ...] = (240, 1600)
    pieces: Count = 2
    reach: Positive = 0.02
    seeds: Annotated[int, Whole(2)] = 5
    longer: Count = 3
    patience: Count = 6
    validation: Fraction = 0.2
    l1: tuple[Positive, ...] = (1e-4, 2.5e-3)
    hidden_eps: Positive = 0.25
    angle: Positive = 0.5
    steps: Count = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        self._sort("units")
        self._sort("l1")


@dataclass(frozen=True)
class Variant:
    """A way to train a maxout network.

    Attributes:
        name: in words.
        units: of each hidden layer.
        objective: what a step minimises.
        dropout: of inputs and of hidden units.
        l1: the weight of the first layer's L1 norm.

    >>> Variant("dropout", 240).objective
    Standard(label_smoothing=0.0)
    """

    name: str
    units: int
    objective: TrainingObjective = field(default=Standard())
    dropout: tuple[float, float] = (0.2, 0.5)
    l1: float = 0.0

    def recipe(self, epochs: int) -> Recipe:
        """Return how it is trained for so many epochs.

        The rate is constant, so that a training is the beginning of a longer one; it falls with the
        square root of the width, since wide networks learn faster and less steadily.
        """
        rate = _RATE * (_OF_UNITS / self.units) ** 0.5
        return Recipe(
            objective=self.objective,
            penalties=((self.l1, first_layer_l1),) if self.l1 else (),
            epochs=epochs,
            batch_size=_BATCH,
            optimiser=Optimiser("adam", rate, weight_decay=0.0),
            schedule=Schedule("constant"),
        )


def variants(settings: RegularisationSettings) -> tuple[Variant, ...]:
    """Return what is trained: the controls on the smallest width, then the two on every width.

    >>> len(variants(RegularisationSettings()))
    12
    """
    least, linf = settings.units[0], Linf(settings.eps)
    uniform, signs = UniformNoise(linf, draws=1), RandomSigns(linf)
    control = partial(Variant, units=least)
    added, angle = settings.hidden_eps, settings.angle
    return (
        control("no dropout", dropout=(0.0, 0.0)),
        control("uniform noise", objective=NoisyTraining(uniform)),
        control("random signs", objective=NoisyTraining(signs)),
        *(control(f"L1, λ = {each:g}", l1=each) for each in settings.l1),
        control("step in layer 1", objective=HiddenStep(1, "added", added)),
        control("step in layer 2", objective=HiddenStep(2, "added", added)),
        control("rotation in layer 1", objective=HiddenStep(1, "rotated", angle)),
        *(
            variant
            for units in settings.units
            for variant in (
                Variant(DROPOUT, units),
                Variant(ADVERSARIAL, units, Mixed(FGSM(linf))),
            )
        ),
    )


def run_regularisation(bench: Bench, settings: RegularisationSettings) -> Regularisation:
    """Train maxout networks in every way, each with the number of epochs that validation says, then
    on all training images with several seeds; measure them, and let them attack each other.

    Reference: Goodfellow, Shlens and Szegedy 2015, arXiv:1412.6572, sections 6 to 8.

    >>> from saddlepoint.data import load_data
    >>> test = load_data("digits", split="test", limit=8)
    >>> train = load_data("digits", split="train", limit=100)
    >>> settings = RegularisationSettings(units=(4,), seeds=2, longer=1, steps=2)
    >>> found = run_regularisation(Bench(test, lambda: train, epochs=1), settings)
    >>> len(found.trials), {each.source for each in found.transfers} == {"dropout", "adversarial"}
    (20, True)
    """
    trainings = variants(settings)
    course = Course(bench.progress, len(trainings) * (1 + settings.seeds))
    trials: list[Trial] = []
    transfers: list[Transfer] = []
    searches: dict[tuple[str, int], EpochSearch] = {}
    networks: dict[str, list[nn.Module]] = {}  # those of one width that attack each other
    filters: dict[str, Tensor] = {}
    for variant in trainings:
        place = (variant.name, variant.units)
        searches[place] = _search(bench, settings, variant, course)
        models = []
        for number, model in _trained(bench, settings, variant, searches[place].epochs, course):
            measures = measure(model, bench, settings.eps, settings.steps)
            trials.append(Trial(*place, number, searches[place].epochs, measures))
            models.append(model)
        if variant.name not in (DROPOUT, ADVERSARIAL):
            continue
        networks[variant.name] = models
        filters[variant.name] = first_weights(models[0]).detach().cpu()
        if variant.name == ADVERSARIAL:
            transfers += transfers_between(networks, variant.units, bench, settings.eps)
    return Regularisation(
        settings.eps, bench.test.shape, tuple(trials), tuple(transfers), searches, filters
    )


def _build(
    bench: Bench, settings: RegularisationSettings, variant: Variant, seed: int
) -> nn.Module:
    options = {
        "units": variant.units,
        "pieces": settings.pieces,
        "dropout": variant.dropout,
        "reach": settings.reach,
    }
    data = bench.train
    return build_model(
        "zoo:maxout", classes=len(data.classes), shape=data.shape, seed=seed, options=options
    ).to(bench.device)


def _search(
    bench: Bench, settings: RegularisationSettings, variant: Variant, course: Course
) -> EpochSearch:
    return search_epochs(
        partial(_build, bench, settings, variant),
        bench.train,
        variant.recipe(settings.longer * bench.epochs),
        FGSM(Linf(settings.eps)),
        by_adversarial=variant.name == ADVERSARIAL,
        share=settings.validation,
        patience=settings.patience,
        seed=derive(bench.seed, "search"),
        progress=course.next(f"{variant.name}, {variant.units} units, validated"),
    )


def _trained(
    bench: Bench, settings: RegularisationSettings, variant: Variant, epochs: int, course: Course
) -> Iterator[tuple[int, nn.Module]]:
    for number in range(settings.seeds):
        # The same for every variant: of one width they begin with the same weights.
        seed = derive(bench.seed, "trial", number)
        told = course.next(f"{variant.name}, {variant.units} units, {number + 1}")
        model = _build(bench, settings, variant, seed)
        yield (
            number,
            train(model, bench.train, variant.recipe(epochs), seed=seed, progress=told).model,
        )
