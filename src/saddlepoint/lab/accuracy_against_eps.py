"""Accuracy against the budget, for PGD in Linf and in L2, each attack measured in both norms."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from saddlepoint.attacks import PGD
from saddlepoint.lab.ascending import smallest_budgets
from saddlepoint.lab.experiment import PerModel, Settings
from saddlepoint.lab.panels import keys_of, legend_above, looks, sheet
from saddlepoint.lab.table import Table
from saddlepoint.option_values import Count, Positive
from saddlepoint.threat import L2, Linf, NormBall
from saddlepoint.threat.norms import norm

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SLACK = 1e-5  # in float32 an image on the surface of a ball may measure a trifle more


@dataclass(frozen=True)
class BudgetSettings(Settings):
    """Settings of `accuracy_against_eps`.

    Args:
        linf, l2: the budgets of each attack, in pixels.
        steps: of PGD.

    >>> BudgetSettings().linf[0]
    0.025
    """

    linf: tuple[Positive, ...] = (0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
    l2: tuple[Positive, ...] = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0, 2.5, 3.0)
    steps: Count = 50

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("linf", "l2"):
            self._sort(name)


@dataclass(frozen=True, eq=False)
class SmallestBudgets:
    """The smallest budget at which an attack fooled each image, and how far that image is.

    Attributes:
        eps: the budgets that were tried.
        smallest: (n,) the budget at which the image was fooled: 0 where it was wrong before,
            infinity where it never was.
        linf, l2: (n,) the distances of that adversarial image; infinity where there is none.

    >>> one = SmallestBudgets((0.1, 0.2), *[torch.tensor([0.2, float("inf")])] * 3)
    >>> one.accuracy(), one.within("Linf", 0.2)
    ([1.0, 0.5], 0.5)
    """

    eps: tuple[float, ...]
    smallest: Float[Tensor, " n"]
    linf: Float[Tensor, " n"]
    l2: Float[Tensor, " n"]

    @property
    def clean(self) -> float:
        """The accuracy without an attack."""
        return float((self.smallest > 0).double().mean())

    def accuracy(self) -> list[float]:
        """Return the share of images that hold at each budget; it never rises."""
        return [float((self.smallest > eps).double().mean()) for eps in self.eps]

    def within(self, measure: str, eps: float) -> float:
        """Return the accuracy left where only adversarial images at most `eps` away, in the norm
        `measure`, are permitted.
        """
        distance = self.linf if measure == "Linf" else self.l2
        return float((distance > eps * (1 + _SLACK)).double().mean())


@dataclass(frozen=True, eq=False)
class AccuracyAgainstEps:
    """What both attacks left of one model.

    >>> AccuracyAgainstEps({}).tables()["summary"].rows
    ()
    """

    attacks: Mapping[str, SmallestBudgets]

    def curve(self, attack: str, measure: str) -> tuple[list[float], list[float]]:
        """Return the budgets in the norm `measure`, from 0 on, and the accuracy that the images of
        `attack` leave there.
        """
        found = self.attacks[attack]
        if attack == measure:
            return [0.0, *found.eps], [found.clean, *found.accuracy()]
        budgets = [0.0, *self.attacks[measure].eps]
        return budgets, [found.within(measure, eps) for eps in budgets]

    def tables(self) -> Mapping[str, Table]:
        """Return the accuracy per norm, budget and attack, and every image's smallest budget."""
        rows = tuple(
            (attack, measure, eps, accuracy)
            for attack in self.attacks
            for measure in self.attacks
            for eps, accuracy in zip(*self.curve(attack, measure), strict=True)
        )
        images = {
            attack: Table.of(
                {
                    "image": range(len(found.smallest)),
                    "smallest eps": found.smallest,
                    "linf": found.linf,
                    "l2": found.l2,
                }
            )
            for attack, found in self.attacks.items()
        }
        return {
            "summary": Table(("attack", "measured in", "eps", "accuracy"), rows),
            "images": Table.joined("attack", images),
        }


def accuracy_against_eps(
    model: nn.Module,
    images: Float[Tensor, "n ..."],
    labels: Int64[Tensor, " n"],
    settings: BudgetSettings,
    seed: int = 0,
) -> AccuracyAgainstEps:
    """Attack with ascending budgets in Linf and in L2.

    An image fooled at one budget is fooled at every larger one, because the smaller ball lies in
    the larger; it is not attacked again.

    Reference: Madry et al. 2018, arXiv:1706.06083, figure 6.

    >>> net, x, y = nn.Linear(2, 2), torch.full((1, 2), 0.5), torch.zeros(1).long()
    >>> found = accuracy_against_eps(net, x, y, BudgetSettings(steps=5))
    >>> list(found.attacks)
    ['Linf', 'L2']
    """
    return AccuracyAgainstEps(
        {
            "Linf": _attacked(model, images, labels, Linf, settings.linf, settings.steps, seed),
            "L2": _attacked(model, images, labels, L2, settings.l2, settings.steps, seed),
        }
    )


def _attacked(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    ball: type[NormBall],
    budgets: tuple[float, ...],
    steps: int,
    seed: int,
) -> SmallestBudgets:
    smallest, adversarials = smallest_budgets(
        model, images, labels, budgets, lambda eps, _: PGD(ball(eps), steps=steps), seed
    )
    change = (adversarials - images.cpu()).double()
    linf, l2 = (
        torch.where(smallest.isfinite(), norm(change, p).float(), torch.inf)
        for p in (math.inf, 2.0)
    )
    return SmallestBudgets(budgets, smallest, linf, l2)


def draw_accuracy_against_eps(found: PerModel[AccuracyAgainstEps]) -> Figure:
    """Draw accuracy against eps: a panel per norm of measurement, a line per model and attack.

    Reference: Madry et al. 2018, arXiv:1706.06083, figure 6.

    >>> one = SmallestBudgets((0.1, 0.2), *[torch.tensor([0.2, float("inf")])] * 3)
    >>> both = AccuracyAgainstEps({"Linf": one, "L2": one})
    >>> [len(axes.lines) for axes in draw_accuracy_against_eps(PerModel({"standard": both})).axes]
    [2, 2]
    """
    results = found.results
    attacks = list(next(iter(results.values())).attacks)
    named = looks(f"{model}, {attack} PGD" for model in results for attack in attacks)
    with sheet(7.6, 3.4) as figure:
        panels = figure.subplots(1, 2, sharey=True)
        for axes, measure in zip(panels, ("Linf", "L2"), strict=True):
            for model, each in results.items():
                for attack in attacks:
                    eps, accuracy = each.curve(attack, measure)
                    look = named[f"{model}, {attack} PGD"]
                    axes.plot(eps, [100 * a for a in accuracy], **look.line, markersize=4)
            axes.set_xlabel(f"eps ({measure}, pixels)")
            axes.set_xlim(left=0)
            axes.set_ylim(-1, 101)
        panels[0].set_ylabel("accuracy (%)")
        legend_above(figure, keys_of(named), columns=min(4, len(named)))
    return figure
