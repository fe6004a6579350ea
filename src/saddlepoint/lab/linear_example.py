"""A linear classifier that ten small changes take from 5 % to 88 %, and the same in n dimensions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.attacks import FGSM, BinaryLogit
from saddlepoint.lab.bench import Bench
from saddlepoint.lab.table import Cell, Table
from saddlepoint.option_values import Count, Positive, check_fields
from saddlepoint.streams import Keys
from saddlepoint.threat import Linf

IMAGE = (2.0, -1.0, 3.0, -2.0, 2.0, 2.0, 1.0, -4.0, 5.0, 1.0)
WEIGHTS = (-1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, 1.0, -1.0, 1.0)
SCORE = -3.0  # w·x of the example, and of its likes in more dimensions


@dataclass(frozen=True)
class LinearSettings:
    """Settings of `linear_example`.

    Args:
        eps: the change of every feature in the example.
        small: further changes per feature, for the likes of the example in more dimensions.
        dimensions: of those.

    >>> LinearSettings().eps
    0.5
    """

    eps: Positive = 0.5
    small: tuple[Positive, ...] = (0.1, 0.01, 0.001)
    dimensions: tuple[Count, ...] = (1, 3, 10, 30, 100, 300, 1000, 3000, 10000)

    def __post_init__(self) -> None:
        check_fields(self)


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
        columns = (self.weights, self.image, self.adversarial)
        features = zip(*(column.tolist() for column in columns), strict=True)
        rows: list[tuple[Cell, ...]] = [(i, *values) for i, values in enumerate(features, 1)]
        scores = [float(self.weights @ x) for x in (self.image, self.adversarial)]
        sums: list[tuple[Cell, ...]] = [
            ("w·x", "", *scores),
            ("P(y = 1)", "", self.before, self.after),
        ]
        dimensions = tuple(
            (n, eps, float(self.probability[i, j]))
            for i, eps in enumerate(self.eps)
            for j, n in enumerate(self.dimensions)
        )
        return {
            "summary": Table(("feature", "w", "x", "adversarial x"), (*rows, *sums)),
            "dimensions": Table(("dimension", "eps", "P(y = 1)"), dimensions),
        }


def linear_example(settings: LinearSettings, seed: int = 0) -> LinearExample:
    """Attack the ten-dimensional example with FGSM, and its likes in n dimensions.

    With signs ±1 as weights a change of eps in every feature moves the score by eps·n, whatever n
    the change of a single feature looks small in.

    Reference: Goodfellow, Shlens and Szegedy 2015, arXiv:1412.6572, section 3; the ten numbers are
    those of Karpathy 2015, "Breaking Linear Classifiers on ImageNet".

    >>> round(float(linear_example(LinearSettings(small=(0.01,))).probability[1, -1]), 3)
    1.0
    """
    weights, image = (torch.tensor(v, dtype=torch.float64) for v in (WEIGHTS, IMAGE))
    adversarial = moved(weights, image, settings.eps)
    before, after = (float(torch.sigmoid(weights @ x)) for x in (image, adversarial))
    every = tuple(dict.fromkeys((settings.eps, *settings.small)))
    probability = torch.zeros(len(every), len(settings.dimensions), dtype=torch.float64)
    for j, n in enumerate(settings.dimensions):
        w, x = likeness(n, seed)
        for i, eps in enumerate(every):
            probability[i, j] = torch.sigmoid(w @ moved(w, x, eps))
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


def moved(
    weights: Float[Tensor, " d"], image: Float[Tensor, " d"], eps: float
) -> Float[Tensor, " d"]:
    """Return the image after FGSM against the logistic classifier w·x whose label is 0.

    >>> moved(torch.tensor([1.0, -2.0]), torch.tensor([0.0, 0.0]), 0.5)
    tensor([ 0.5000, -0.5000])
    """
    net = nn.Linear(len(weights), 1, bias=False, dtype=weights.dtype)
    net.weight.data = weights[None].clone()
    free = Linf(eps, -math.inf, math.inf)
    attack = FGSM(free, criterion=BinaryLogit(), stop="never", keep="last")
    return attack.candidates(net, image[None], torch.zeros(1, dtype=torch.int64))[0]


def likeness(n: int, seed: int) -> tuple[Float[Tensor, " d"], Float[Tensor, " d"]]:
    """Return random signs w and a random x of n dimensions whose score w·x is −3, as in the example.

    >>> w, x = likeness(100, seed=0)
    >>> round(float(w @ x), 9), sorted(set(w.tolist()))
    (-3.0, [-1.0, 1.0])
    """
    keys = Keys(seed, torch.tensor([n]))
    w = torch.where(keys.uniform((n,))[0] < 0.5, -1.0, 1.0).double()
    x = 2 * keys.normal((n,), draw=1)[0].double()
    return w, x + (SCORE - w @ x) / n * w
