"""Logistic regression trained adversarially, in closed form, against L1 weight decay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.errors import InputError
from saddlepoint.lab.bench import Bench
from saddlepoint.lab.experiment import Settings
from saddlepoint.lab.logistic_regression import errors, fit, two_classes
from saddlepoint.lab.panels import keys_of, legend_above, looks, sheet, title_left
from saddlepoint.lab.table import Table
from saddlepoint.option_values import Count, Natural, Positive

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PICTURES = 4  # of weights in the figure, per kind of training


@dataclass(frozen=True)
class LogisticSettings(Settings):
    """Settings of `adversarial_logistic`.

    Args:
        eps: the Linf budgets of adversarial training, in pixels; 0 is plain logistic regression.
        weight_decay: the L1 coefficients λ.
        attack_eps: the budget at which both are tested.
        classes: the two labels to be told apart.
        steps: of full-batch descent.

    >>> LogisticSettings().classes
    (3, 7)
    """

    eps: tuple[Positive, ...] = (0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25)
    weight_decay: tuple[Positive, ...] = (0.0003, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1)
    attack_eps: Positive = 0.1
    classes: tuple[Natural, Natural] = (3, 7)
    steps: Count = 500

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.classes[0] == self.classes[1]:
            raise InputError(f"classes are {self.classes}; give two different labels")


@dataclass(frozen=True, eq=False)
class LogisticPath:
    """The classifiers of one kind of training, a column each.

    Attributes:
        strength: (k,) eps or λ; the first is 0, plain logistic regression.
        weights: (d, k); bias: (k,).
        train_error, error: (k,) the shares of wrong training and test images.
        adversarial_error: (k,) that of test images after the worst change of `attack_eps`.

    >>> LogisticPath(torch.ones(1), torch.ones(1, 1), *[torch.ones(1)] * 4).norms
    tensor([1.])
    """

    strength: Float[Tensor, " k"]
    weights: Float[Tensor, "d k"]
    bias: Float[Tensor, " k"]
    train_error: Float[Tensor, " k"]
    error: Float[Tensor, " k"]
    adversarial_error: Float[Tensor, " k"]

    @property
    def norms(self) -> Float[Tensor, " k"]:
        """‖w‖₁."""
        return self.weights.abs().sum(0)


@dataclass(frozen=True, eq=False)
class AdversarialLogistic:
    """Both paths.

    Attributes:
        adversarial: by eps.
        decay: by λ.
        shape: of an image, to draw weights as one.
        names: of the two classes; the weights point to the second.
        attack_eps: the budget of the test.

    >>> path = LogisticPath(torch.ones(1), torch.ones(1, 1), *[torch.ones(1)] * 4)
    >>> found = AdversarialLogistic(path, path, (1,), ("3", "7"), 0.1)
    >>> found.tables()["summary"].columns[:2]
    ('training', 'strength')
    """

    adversarial: LogisticPath
    decay: LogisticPath
    shape: tuple[int, ...]
    names: tuple[str, str]
    attack_eps: float

    def tables(self) -> Mapping[str, Table]:
        """Return errors and norms per classifier, and the weights."""
        paths = {"adversarial (eps)": self.adversarial, "L1 decay (λ)": self.decay}
        summary = {
            name: Table.of(
                {
                    "strength": path.strength,
                    "train error": path.train_error,
                    "test error": path.error,
                    f"test error at {self.attack_eps:g}": path.adversarial_error,
                    "‖w‖₁": path.norms,
                }
            )
            for name, path in paths.items()
        }
        weights = {
            name: Table.of(
                {
                    "strength": path.strength,
                    "bias": path.bias,
                    **{f"w{i}": w for i, w in enumerate(path.weights)},
                }
            )
            for name, path in paths.items()
        }
        return {
            "summary": Table.joined("training", summary),
            "weights": Table.joined("training", weights),
        }


def run_logistic(bench: Bench, settings: LogisticSettings) -> AdversarialLogistic:
    """Fit both paths on the bench's training images of two classes, and test them.

    Reference: Goodfellow, Shlens and Szegedy 2015, arXiv:1412.6572, section 5.

    >>> from saddlepoint.data import load_data
    >>> test = load_data("digits", split="test")
    >>> bench = Bench(test, lambda: load_data("digits", split="train", limit=300))
    >>> found = run_logistic(bench, LogisticSettings(steps=50))
    >>> found.names, found.adversarial.weights.shape
    (('3', '7'), torch.Size([64, 8]))
    """
    x, signs = two_classes(bench.train, settings.classes)
    tests = two_classes(bench.test, settings.classes)
    zero = torch.zeros(1, device=x.device)
    eps = torch.cat([zero, torch.tensor(sorted(settings.eps), device=x.device)])
    decay = torch.cat([zero, torch.tensor(sorted(settings.weight_decay), device=x.device)])
    # All classifiers at once: a column each.
    every_eps = torch.cat([eps, torch.zeros_like(decay)])
    every_decay = torch.cat([torch.zeros_like(eps), decay])
    weights, bias = fit(x, signs, every_eps, every_decay, settings.steps)
    measured = (
        every_eps + every_decay,
        weights.T,
        bias,
        errors(x, signs, weights, bias, 0.0),
        errors(*tests, weights, bias, 0.0),
        errors(*tests, weights, bias, settings.attack_eps),
    )
    parts = [torch.split(m.cpu(), [len(eps), len(decay)]) for m in measured]
    adversarial, decayed = (
        LogisticPath(s, w.T, b, train, test, adv)
        for s, w, b, train, test, adv in zip(*parts, strict=True)
    )
    first, second = (bench.test.classes[label] for label in settings.classes)
    return AdversarialLogistic(
        adversarial, decayed, bench.test.shape, (first, second), settings.attack_eps
    )


def draw_adversarial_logistic(found: AdversarialLogistic) -> Figure:
    """Draw the errors of both paths, above the weights of some of their classifiers as pictures.

    Reference: Goodfellow, Shlens and Szegedy 2015, arXiv:1412.6572, section 5.

    >>> path = LogisticPath(torch.arange(2.0), torch.ones(4, 2), *[torch.ones(2)] * 4)
    >>> found = AdversarialLogistic(path, path, (1, 2, 2), ("3", "7"), 0.1)
    >>> len(draw_adversarial_logistic(found).axes)
    6
    """
    lines = {
        "training error": "train_error",
        "test error": "error",
        f"test error after the worst change of {found.attack_eps:g}": "adversarial_error",
    }
    named = looks(lines)
    paths = (
        (found.adversarial, "eps of adversarial training", "eps"),
        (found.decay, "λ of L1 decay", "λ"),
    )
    every = [getattr(path, line) for path, *_ in paths for line in lines.values()]
    most = max(1.0, 100 * max(float(each.max()) for each in every))
    pictured = len(found.shape) == 3
    with sheet(8.0, 5.4 if pictured else 3.4) as figure:
        halves = figure.add_gridspec(
            2 if pictured else 1, 2 * _PICTURES, height_ratios=(2.2, 1) if pictured else (1,)
        )
        for i, (path, label, symbol) in enumerate(paths):
            columns = range(i * _PICTURES, (i + 1) * _PICTURES)
            axes = figure.add_subplot(halves[0, columns.start : columns.stop])
            for name, line in lines.items():
                values = 100 * getattr(path, line)
                axes.plot(path.strength.numpy(), values.numpy(), **named[name].line, markersize=5)
            if i == 1:  # λ spans several powers of ten, and begins at 0
                axes.set_xscale("symlog", linthresh=float(path.strength[1]))
                axes.set_xlim(left=-0.15 * float(path.strength[1]))
            axes.set_xlabel(label)
            axes.set_ylim(-0.03 * most, 1.05 * most)
            if i == 0:
                axes.set_ylabel("error (%)")
            for column, k in zip(columns, _chosen(path) if pictured else (), strict=False):
                picture = path.weights[:, k].reshape(found.shape).mean(0)
                axes = figure.add_subplot(halves[1, column])
                _draw_weights(axes, picture)
                title_left(axes, f"{symbol} {float(path.strength[k]):g}")
                axes.set_xlabel(f"‖w‖₁ {float(path.norms[k]):.1f}", fontsize=8)
        legend_above(figure, keys_of(named))
    return figure


def _chosen(path: LogisticPath) -> list[int]:
    last = len(path.strength) - 1
    return sorted({round(k * last / (_PICTURES - 1)) for k in range(_PICTURES)})


def _draw_weights(axes: Axes, picture: Float[Tensor, "h w"]) -> None:
    most = float(picture.abs().max()) or 1.0
    axes.imshow(picture.numpy(), cmap="PuOr", vmin=-most, vmax=most, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
