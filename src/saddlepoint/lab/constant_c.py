"""Carlini and Wagner's L2 attack with one c for every image, for many c."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from saddlepoint.attacks import CarliniWagnerL2
from saddlepoint.evaluation.statistics import Proportion
from saddlepoint.lab.experiment import PerModel, Settings
from saddlepoint.lab.outputs import class_count, predictions
from saddlepoint.lab.panels import keys_of, legend_above, looks, plot_shares, sheet
from saddlepoint.lab.table import Table
from saddlepoint.lab.targets import random_classes
from saddlepoint.option_values import Count, Positive
from saddlepoint.progress import counted
from saddlepoint.threat import L2

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class ConstantSettings(Settings):
    """Settings of `constant_c`.

    Args:
        c: the values, from small to large.
        steps: Adam's iterations; a descent ends early after a tenth of them without progress.
        learning_rate: Adam's.

    >>> ConstantSettings(c=(1.0, 0.1)).c
    (0.1, 1.0)
    """

    c: tuple[Positive, ...] = tuple(round(10 ** (k / 4 - 2), 4) for k in range(17))
    steps: Count = 300
    learning_rate: Positive = 0.02

    def __post_init__(self) -> None:
        super().__post_init__()
        self._sort("c")


@dataclass(frozen=True, eq=False)
class ConstantC:
    """What each c found of one model.

    Attributes:
        c: the k values, ascending.
        distance: (k, n) L2 distances; infinity where the attack failed.

    >>> inf = float("inf")
    >>> found = ConstantC((0.1, 1.0), torch.tensor([[inf, inf], [1.0, 2.0]]))
    >>> found.success()[1].value, found.mean(), found.relative_to_least()
    (1.0, [nan, 1.5], [nan, 1.0])
    """

    c: tuple[float, ...]
    distance: Float[Tensor, "k n"]

    def success(self) -> list[Proportion]:
        """Return the share of images on which each c succeeds."""
        return [Proportion(int(row.isfinite().sum()), len(row)) for row in self.distance]

    def mean(self) -> list[float]:
        """Return the mean distance of the successes of each c; NaN where there are none.

        Where few succeed these are the easy images.
        """
        return [float(row[row.isfinite()].mean()) for row in self.distance]

    def relative_to_least(self) -> list[float]:
        """Return the mean, over the successes of each c, of the distance as a multiple of the
        smallest that any c found for the image: the same images above and below the line.
        """
        least = self.distance.amin(0)
        return [
            float((row[won] / least[won].clamp_min(1e-12)).mean())
            for row in self.distance
            for won in (row.isfinite(),)
        ]

    def tables(self) -> Mapping[str, Table]:
        """Return a row per c, and all distances."""
        shares = self.success()
        summary = {
            "c": self.c,
            "success": [p.value for p in shares],
            "low": [p.low for p in shares],
            "high": [p.high for p in shares],
            "distance": self.mean(),
            "times the least": self.relative_to_least(),
        }
        images = range(self.distance.shape[1])
        return {
            "summary": Table.of(summary),
            "images": Table.long({"c": self.c, "image": images}, {"distance": self.distance}),
        }


def constant_c(
    model: nn.Module,
    images: Float[Tensor, "n ..."],
    labels: Int64[Tensor, " n"],
    settings: ConstantSettings,
    seed: int = 0,
) -> ConstantC:
    """Attack every image towards one class drawn from all but the model's answer, with each c.

    Objective f6 and the change of variables, from the clean image, without a search.

    Reference: Carlini and Wagner 2017, arXiv:1608.04644, figure 2.

    >>> net, x, y = nn.Flatten(), torch.tensor([[0.5, 0.25]]), torch.zeros(1).long()
    >>> found = constant_c(net, x, y, ConstantSettings(c=(0.1, 1.0)))  # it takes 0.25
    >>> [p.value for p in found.success()]
    [0.0, 1.0]
    """
    answered, _ = predictions(model, images)
    targets = random_classes(answered, class_count(model, images), seed)
    distances = []
    for c in counted(settings.c, "constants"):
        attack = CarliniWagnerL2.published(
            L2(), steps=settings.steps, learning_rate=settings.learning_rate,
            searches=1, initial_c=c,
        )  # fmt: skip
        distances.append(attack(model, images, answered, targets, seed=seed).distance.cpu())
    return ConstantC(settings.c, torch.stack(distances))


def draw_constant_c(found: PerModel[ConstantC]) -> Figure:
    """Draw against c: success with its interval, mean distance, and the same as a multiple of each
    image's smallest.

    Reference: Carlini and Wagner 2017, arXiv:1608.04644, figure 2.

    >>> one = ConstantC((0.1, 1.0), torch.tensor([[3.0, 4.0], [1.0, 2.0]]))
    >>> len(draw_constant_c(PerModel({"standard": one})).axes)
    3
    """
    named = looks(found.results)
    values = [c for each in found.results.values() for c in each.c]
    with sheet(8.6, 2.9) as figure:
        success, distance, relative = figure.subplots(1, 3, gridspec_kw={"wspace": 0.06})
        for name, each in found.results.items():
            plot_shares(success, each.c, each.success(), named[name], alpha=0.18)
            distance.plot(each.c, each.mean(), **named[name].line, markersize=4)
            relative.plot(each.c, each.relative_to_least(), **named[name].line, markersize=4)
        success.set_ylabel("success (%)")
        distance.set_ylabel("mean L2 distance of successes")
        distance.set_ylim(bottom=0)
        relative.set_ylabel("distance / least of the image")
        relative.axhline(1, color="black", lw=0.8, ls=":")
        for axes in (success, distance, relative):
            axes.set(xscale="log", xlim=(0.8 * min(values), 1.25 * max(values)))
            axes.set_xlabel("c")
        legend_above(figure, keys_of(named))
    return figure
