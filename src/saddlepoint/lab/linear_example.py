"""A linear classifier that ten small changes take from 5 % to 88 %, and the same in n dimensions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.attacks import FGSM, BinaryLogit
from saddlepoint.lab.bench import Bench
from saddlepoint.lab.experiment import Settings
from saddlepoint.lab.panels import looks, sheet
from saddlepoint.lab.table import Cell, Table
from saddlepoint.option_values import Count, Positive
from saddlepoint.streams import Keys
from saddlepoint.threat import Linf

if TYPE_CHECKING:
    from matplotlib.figure import Figure

IMAGE = (2.0, -1.0, 3.0, -2.0, 2.0, 2.0, 1.0, -4.0, 5.0, 1.0)
WEIGHTS = (-1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, 1.0, -1.0, 1.0)
SCORE = -3.0  # w·x of the example, and of the random ones of more dimensions


@dataclass(frozen=True)
class LinearSettings(Settings):
    """Settings of `linear_example`.

    Args:
        eps: the change of every feature in the example.
        small: further changes per feature, for random examples of more dimensions.
        dimensions: of those.

    >>> LinearSettings().eps
    0.5
    """

    eps: Positive = 0.5
    small: tuple[Positive, ...] = (0.1, 0.01, 0.001)
    dimensions: tuple[Count, ...] = (1, 3, 10, 30, 100, 300, 1000, 3000, 10000)


@dataclass(frozen=True, eq=False)
class LinearExample:
    """The example feature by feature, and P(y = 1) against the dimension.

    Attributes:
        weights, image, adversarial: (10,) the classifier, and x before and after FGSM.
        before, after: P(y = 1) of both.
        eps: the e changes per feature.
        dimensions: the k dimensions.
        probability: (e, k) P(y = 1) after FGSM with a score of −3 before.
        needed: (k,) the change per feature that takes the score from −3 to `score_after`.

    >>> found = linear_example(LinearSettings())
    >>> round(found.before, 4), round(found.after, 4)
    (0.0474, 0.8808)
    """

    weights: Float[Tensor, " d"]
    image: Float[Tensor, " d"]
    adversarial: Float[Tensor, " d"]
    before: float
    after: float
    eps: tuple[float, ...]
    dimensions: tuple[int, ...]
    probability: Float[Tensor, "e k"]
    needed: Float[Tensor, " k"]

    def tables(self) -> Mapping[str, Table]:
        """Return the example with its sums, and the probabilities by dimension."""

        def column(x: Tensor, probability: float) -> tuple[float, ...]:
            return (*x.tolist(), float(self.weights @ x), probability)

        summary: dict[str, tuple[Cell, ...]] = {
            "feature": (*range(1, len(self.weights) + 1), "w·x", "P(y = 1)"),
            "w": (*self.weights.tolist(), "", ""),
            "x": column(self.image, self.before),
            "adversarial x": column(self.adversarial, self.after),
        }
        dimensions = tuple(
            (n, eps, float(self.probability[i, j]))
            for i, eps in enumerate(self.eps)
            for j, n in enumerate(self.dimensions)
        )
        return {
            "summary": Table.of(summary),
            "dimensions": Table(("dimension", "eps", "P(y = 1)"), dimensions),
        }


def linear_example(settings: LinearSettings, seed: int = 0) -> LinearExample:
    """Attack the ten-dimensional example with FGSM, and random examples of n dimensions.

    With signs ±1 as weights a change of eps in every feature moves the score by eps·n, whatever n
    the change of a single feature looks small in.

    Reference: Goodfellow, Shlens and Szegedy 2015, arXiv:1412.6572, section 3; the ten numbers are
    those of Karpathy 2015, "Breaking Linear Classifiers on ImageNet".

    >>> round(float(linear_example(LinearSettings(small=(0.01,))).probability[1, -1]), 3)
    1.0
    """
    weights, image = (torch.tensor(v, dtype=torch.float64) for v in (WEIGHTS, IMAGE))
    adversarial = fgsm_step(weights, image, settings.eps)
    before, after = (float(torch.sigmoid(weights @ x)) for x in (image, adversarial))
    every = tuple(dict.fromkeys((settings.eps, *settings.small)))
    probability = torch.zeros(len(every), len(settings.dimensions), dtype=torch.float64)
    for j, n in enumerate(settings.dimensions):
        w, x = random_example(n, seed)
        for i, eps in enumerate(every):
            probability[i, j] = torch.sigmoid(w @ fgsm_step(w, x, eps))
    gain = math.log(after / (1 - after)) - SCORE
    needed = gain / torch.tensor(settings.dimensions, dtype=torch.float64)
    return LinearExample(
        weights, image, adversarial, before, after, every, settings.dimensions, probability, needed
    )


def run_linear(bench: Bench, settings: LinearSettings) -> LinearExample:
    """Run `linear_example`; of the bench it takes the seed alone.

    >>> from saddlepoint.data import load_data
    >>> bench = Bench(load_data("digits", limit=1), lambda: load_data("digits"))
    >>> round(run_linear(bench, LinearSettings()).after, 2)
    0.88
    """
    return linear_example(settings, bench.seed)


def fgsm_step(
    weights: Float[Tensor, " d"], image: Float[Tensor, " d"], eps: float
) -> Float[Tensor, " d"]:
    """Return the image after FGSM against the logistic classifier w·x whose label is 0.

    >>> fgsm_step(torch.tensor([1.0, -2.0]), torch.tensor([0.0, 0.0]), 0.5)
    tensor([ 0.5000, -0.5000])
    """
    net = nn.Linear(len(weights), 1, bias=False, dtype=weights.dtype)
    net.weight.data = weights[None].clone()
    free = Linf(eps, -math.inf, math.inf)
    attack = FGSM(free, criterion=BinaryLogit(), stop="never", keep="last")
    return attack.candidates(net, image[None], torch.zeros(1, dtype=torch.int64))[0]


def random_example(n: int, seed: int) -> tuple[Float[Tensor, " d"], Float[Tensor, " d"]]:
    """Return random signs w and a random x of n dimensions whose score w·x is −3, as in the example.

    >>> w, x = random_example(100, seed=0)
    >>> round(float(w @ x), 9), sorted(set(w.tolist()))
    (-3.0, [-1.0, 1.0])
    """
    keys = Keys(seed, torch.tensor([n]))
    w = torch.where(keys.uniform((n,))[0] < 0.5, -1.0, 1.0).double()
    x = 2 * keys.normal((n,), draw=1)[0].double()
    return w, x + (SCORE - w @ x) / n * w


def draw_linear_example(found: LinearExample) -> Figure:
    """Draw x before and after, feature by feature, and P(y = 1) against the dimension.

    >>> len(draw_linear_example(linear_example(LinearSettings())).axes)
    2
    """
    from saddlepoint.reports.style import AFTER, BEFORE

    with sheet(8.4, 3.3) as figure:
        left, right = figure.subplots(1, 2, gridspec_kw={"wspace": 0.08})
        at = np.arange(1, len(found.weights) + 1)
        before = f"x: P(y = 1) = {100 * found.before:.1f} %"
        after = f"x + {found.eps[0]:g}·sign(w): P(y = 1) = {100 * found.after:.1f} %"
        left.bar(at - 0.2, found.image.numpy(), 0.4, color=BEFORE, label=before)
        left.bar(at + 0.2, found.adversarial.numpy(), 0.4, color=AFTER, label=after)
        left.axhline(0, color="black", lw=0.8)
        weights = zip(at, found.weights.tolist(), strict=True)
        left.set_xticks(at, [f"{i}\n{w:+.0f}" for i, w in weights])
        left.set_xlabel("feature, and its weight")
        left.set_ylabel("value")
        left.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=1)
        named = looks(f"{eps:g}" for eps in found.eps)
        for (name, look), line in zip(named.items(), found.probability, strict=True):
            right.plot(found.dimensions, line.numpy(), **look.line, label=name, markersize=5)
        right.axhline(found.before, color="black", lw=1, ls=":", label="before")
        right.set_xscale("log")
        right.set_ylim(-0.02, 1.02)
        right.set_xlabel("dimension")
        right.set_ylabel("P(y = 1) after FGSM")
        right.legend(
            title="change of every feature", loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3
        )
    return figure
