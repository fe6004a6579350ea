"""Four controls of the linear explanation: noise, an RBF network, ensembles, hidden layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from saddlepoint.attacks import FGSM, PGD
from saddlepoint.defences import AdversarialTraining, DeepEnsemble, TrainingObjective
from saddlepoint.lab.bench import Bench
from saddlepoint.lab.experiment import Settings
from saddlepoint.lab.networks import (
    RBF,
    EachClass,
    HiddenAdversarial,
    OneVersusAll,
    Perceptron,
    class_means,
)
from saddlepoint.lab.outputs import logits_of
from saddlepoint.lab.panels import sheet, title_left
from saddlepoint.lab.table import Table
from saddlepoint.option_values import Count, Positive
from saddlepoint.streams import Keys, derive
from saddlepoint.threat import Linf

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CONTROLS: Mapping[str, str] = MappingProxyType(
    {
        "noise": "noise as large as the perturbation",
        "rbf": "shallow: linear and RBF",
        "ensemble": "an ensemble",
        "hidden": "adversarial training in input or hidden layer",
    }
)
_UNITS = 64  # of the hidden layers
_LONGER = 4  # times the epochs of the bench: these networks take milliseconds
_SOFTMAX = partial(torch.softmax, dim=1)
_PRECISION = 0.3  # of the Gaussians before training


@dataclass(frozen=True)
class ControlSettings(Settings):
    """Settings of `controls`.

    Args:
        eps: the Linf budget, in pixels.
        members: networks in the ensemble.
        hidden_eps: the change of hidden activations in training.

    >>> ControlSettings().members
    8
    """

    eps: Positive = 0.1
    members: Count = 8
    hidden_eps: Positive = 0.1


@dataclass(frozen=True)
class Measurement:
    """One measurement: what was asked, of what, under what.

    Attributes:
        control: a key of `CONTROLS`.
        model, attack: in words.
        error: the share of wrong images.
        confidence: the mean probability of the predicted class over the wrong images; NaN without
            any.
        when_right: the same over the others.

    >>> Measurement("noise", "standard", "none", 0.25, 0.5, 0.9).error
    0.25
    """

    control: str
    model: str
    attack: str
    error: float
    confidence: float
    when_right: float


@dataclass(frozen=True)
class Controls:
    """All measurements.

    Attributes:
        measured: one per model and attack.
        mean_hidden: by model of "hidden", the mean absolute hidden activation of the test images.

    >>> Controls((Measurement("noise", "standard", "none", 0.25, 0.5, 0.9),), {}).of("noise")[0].model
    'standard'
    """

    measured: tuple[Measurement, ...]
    mean_hidden: Mapping[str, float]

    def of(self, control: str) -> list[Measurement]:
        """Return the measurements of one control."""
        return [each for each in self.measured if each.control == control]

    def tables(self) -> Mapping[str, Table]:
        """Return the measurements, and the sizes of the hidden activations."""
        columns = ("control", "model", "attack", "error", "sure when wrong", "sure when right")
        return {
            "summary": Table(columns, tuple(astuple(each) for each in self.measured)),
            "hidden": Table(("model", "mean |hidden|"), tuple(self.mean_hidden.items())),
        }


def run_controls(bench: Bench, settings: ControlSettings) -> Controls:
    """Run the four controls; every network but those of the bench is trained here.

    Reference: Goodfellow, Shlens and Szegedy 2015, arXiv:1412.6572, sections 4 to 9.

    >>> from saddlepoint.data import load_data
    >>> test = load_data("digits", split="test", limit=8)
    >>> train = load_data("digits", split="train", limit=64)
    >>> found = run_controls(Bench(test, lambda: train, epochs=1), ControlSettings(members=2))
    >>> sorted({each.control for each in found.measured})
    ['ensemble', 'hidden', 'noise', 'rbf']
    """
    hidden, means = _hidden(bench, settings)
    parts = (_noise(bench, settings), _rbf(bench, settings), _ensemble(bench, settings), hidden)
    return Controls(tuple(each for part in parts for each in part), means)


def _noise(bench: Bench, settings: ControlSettings) -> list[Measurement]:
    """Noise as large as the perturbation, without its direction."""
    x, y, eps = bench.images, bench.labels, settings.eps
    u = Keys(bench.seed, torch.arange(len(x), device=x.device)).uniform(tuple(x.shape[1:]))
    perturbed = {
        "none": x,
        "uniform noise": (x + eps * (2 * u - 1)).clamp(0, 1),
        "random signs": (x + eps * (u - 0.5).sign()).clamp(0, 1),
    }
    found = []
    for name, model in bench.models.items():
        pgd = PGD(Linf(eps))(model, x, y, seed=bench.seed).adversarials
        attacked = {"FGSM": _fgsm(model, bench, eps), "PGD": pgd}
        found += _measured("noise", name, model, perturbed | attacked, y)
    return found


def _rbf(bench: Bench, settings: ControlSettings) -> list[Measurement]:
    """Two shallow classifiers with the same objective, one of them local."""
    x, y, classes = bench.images, bench.labels, len(bench.test.classes)
    builds = {
        "linear, one against all": lambda seed: OneVersusAll(x[0].numel(), classes),
        "RBF, one against all": lambda seed: RBF(class_means(bench.train), _PRECISION),
    }
    found = []
    for name, build in builds.items():
        model = bench.trained(name, EachClass(), build=build, longer=_LONGER)
        images = {"none": x, "FGSM": _fgsm(model, bench, settings.eps)}
        # The outputs are log-probabilities, a yes or no for each class.
        found += _measured("rbf", name, model, images, y, probabilities=torch.exp)
    return found


def _ensemble(bench: Bench, settings: ControlSettings) -> list[Measurement]:
    """Several networks that differ in their seed alone, attacked one at a time and as a whole."""
    x, y = bench.images, bench.labels
    build = _perceptron(bench, nn.ReLU())
    members = [
        bench.trained(
            f"member {i + 1}", build=build, seed=derive(bench.seed, "member", i), longer=_LONGER
        )
        for i in range(settings.members)
    ]
    one, whole = members[0], DeepEnsemble(members)
    on_one, on_all = (_fgsm(model, bench, settings.eps) for model in (one, whole))
    images_of_all = {"none": x, "FGSM on one": on_one, "FGSM on all": on_all}
    name = f"ensemble of {settings.members}"
    return [
        *_measured("ensemble", "one network", one, {"none": x, "FGSM on it": on_one}, y),
        *_measured("ensemble", name, whole, images_of_all, y),
    ]


def _hidden(bench: Bench, settings: ControlSettings) -> tuple[list[Measurement], dict[str, float]]:
    """Adversarial training in the input and in the hidden layer, of two activations."""
    x, y = bench.images, bench.labels
    objectives: dict[str, TrainingObjective | None] = {
        "clean": None,
        "input": AdversarialTraining(FGSM(Linf(settings.eps))),
        "hidden": HiddenAdversarial(settings.hidden_eps),
    }
    found: list[Measurement] = []
    means = {}
    for kind, activation in {"sigmoid": nn.Sigmoid(), "ReLU": nn.ReLU()}.items():
        for perturbed, objective in objectives.items():
            name = f"{kind}, {perturbed}"
            model = bench.trained(
                name, objective, build=_perceptron(bench, activation), longer=_LONGER
            )
            adversarial = PGD(Linf(settings.eps))(model, x, y, seed=bench.seed).adversarials
            found += _measured("hidden", name, model, {"none": x, "PGD": adversarial}, y)
            assert isinstance(model, Perceptron)
            with torch.no_grad():
                means[name] = float(model.hidden(x).abs().mean())
    return found, means


def _perceptron(bench: Bench, activation: nn.Module) -> Callable[[int], nn.Module]:
    features, classes = bench.images[0].numel(), len(bench.test.classes)
    return lambda seed: Perceptron(features, _UNITS, classes, activation, seed)


def _fgsm(model: nn.Module, bench: Bench, eps: float) -> Tensor:
    # The step itself, also of images that were wrong before: an error is of all of them.
    attack = FGSM(Linf(eps), loss="softmax-cross-entropy", stop="never", keep="last")
    return attack.candidates(model, bench.images, bench.labels, seed=bench.seed)


def _measured(
    control: str,
    name: str,
    model: nn.Module,
    images: Mapping[str, Tensor],
    labels: Int64[Tensor, " n"],
    probabilities: Callable[[Tensor], Tensor] = _SOFTMAX,
) -> list[Measurement]:
    """Return a measurement for each kind of images, by the name of the attack."""
    found = []
    for attack, each in images.items():
        logits = logits_of(model, each)
        predictions = logits.argmax(1)
        wrong = predictions != labels.cpu()
        confidence = probabilities(logits).gather(1, predictions[:, None]).squeeze(1).double()
        means = (wrong.double().mean(), confidence[wrong].mean(), confidence[~wrong].mean())
        found.append(Measurement(control, name, attack, *map(float, means)))
    return found


def draw_controls(found: Controls) -> Figure:
    """Draw bars of the errors, a panel per control; beside a bar stands the error, and the
    confidence of the mistakes.

    >>> one = [Measurement(name, "standard", "none", 0.25, 0.5, 0.9) for name in CONTROLS]
    >>> len(draw_controls(Controls(tuple(one), {})).axes)
    4
    """
    controls = {name: found.of(name) for name in CONTROLS}
    heights = [len(rows) + 1.2 for rows in controls.values()]
    with sheet(7.2, 0.21 * sum(heights) + 0.8) as figure:
        panels = figure.subplots(len(controls), 1, sharex=True, height_ratios=heights)
        for axes, (name, rows) in zip(panels, controls.items(), strict=True):
            _draw_bars(axes, rows)
            title_left(axes, CONTROLS[name])
        panels[-1].set_xlabel("error (%); in brackets the mean confidence of the mistakes")
        panels[-1].set_xticks(range(0, 101, 20))
    return figure


def _draw_bars(axes: Axes, rows: list[Measurement]) -> None:
    from saddlepoint.reports.style import BEFORE, COLOURS

    colours = {"none": BEFORE, "FGSM": COLOURS[1], "PGD": COLOURS[4]}
    axes.barh(
        range(len(rows)), [100 * row.error for row in rows], 0.75,
        color=[colours.get(row.attack.split()[0], COLOURS[2]) for row in rows],
    )  # fmt: skip
    for i, row in enumerate(rows):
        sure = "" if math.isnan(row.confidence) else f" ({100 * row.confidence:.0f} %)"
        axes.annotate(
            f"{100 * row.error:.1f}{sure}", (100 * row.error, i), xytext=(3, 0),
            textcoords="offset points", va="center", fontsize=7.5,
        )  # fmt: skip
    labels = [f"{row.model}: {row.attack}" for row in rows]
    axes.set_yticks(range(len(rows)), labels, fontsize=7.5)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_axisbelow(True)
    axes.set_xlim(0, 115)
