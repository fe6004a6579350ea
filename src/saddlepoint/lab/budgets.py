"""Accuracy against the budget, for PGD in Linf and in L2, each attack measured in both norms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from saddlepoint.attacks import PGD
from saddlepoint.lab.table import Table
from saddlepoint.option_values import Count, Positive, check_fields
from saddlepoint.threat import L2, Linf, NormBall
from saddlepoint.threat.norms import norm

NORMS: tuple[tuple[str, float], ...] = (("Linf", float("inf")), ("L2", 2.0))
_SLACK = 1e-5  # in float32 an image on the surface of a ball may measure a trifle more


@dataclass(frozen=True)
class BudgetSettings:
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
        check_fields(self)
        for name in ("linf", "l2"):
            object.__setattr__(self, name, tuple(sorted(set(getattr(self, name)))))


@dataclass(frozen=True, eq=False)
class Fooled:
    """The first adversarial image that an attack found of each image, budgets ascending.

    Attributes:
        eps: the budgets that were tried.
        smallest: (n,) the budget at which the image was fooled: 0 where it was wrong before,
            infinity where it never was.
        linf, l2: (n,) the distances of that adversarial image; infinity where there is none.

    >>> one = Fooled((0.1, 0.2), *[torch.tensor([0.2, float("inf")])] * 3)
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

    attacks: Mapping[str, Fooled]

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
        rows = [
            (attack, measure, eps, accuracy)
            for attack in self.attacks
            for measure in self.attacks
            for eps, accuracy in zip(*self.curve(attack, measure), strict=True)
        ]
        images = [
            (attack, image, *values)
            for attack, found in self.attacks.items()
            for image, values in enumerate(
                zip(found.smallest.tolist(), found.linf.tolist(), found.l2.tolist(), strict=True)
            )
        ]
        return {
            "summary": Table(("attack", "measured in", "eps", "accuracy"), tuple(rows)),
            "images": Table(("attack", "image", "smallest eps", "linf", "l2"), tuple(images)),
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
    balls: dict[str, tuple[tuple[float, ...], type[NormBall]]] = {
        "Linf": (settings.linf, Linf),
        "L2": (settings.l2, L2),
    }
    return AccuracyAgainstEps(
        {
            name: _ascending(model, images, labels, ball, budgets, settings.steps, seed)
            for name, (budgets, ball) in balls.items()
        }
    )


def _ascending(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    ball: type[NormBall],
    budgets: tuple[float, ...],
    steps: int,
    seed: int,
) -> Fooled:
    smallest = torch.full((len(images),), torch.inf)
    distances = {name: smallest.clone() for name, _ in NORMS}
    alive = torch.arange(len(images), device=images.device)
    for eps in budgets:
        if not len(alive):
            break
        result = PGD(ball(eps), steps=steps)(
            model, images[alive], labels[alive], seed=seed, ids=alive
        )
        won, wrong = result.success.to(alive.device), result.initially_wrong.cpu()
        rows = alive[won].cpu()
        smallest[rows] = torch.where(wrong[won.cpu()], 0.0, eps)
        delta = (result.adversarials.to(images) - images[alive])[won].double()
        for name, p in NORMS:
            distances[name][rows] = norm(delta, p).float().cpu()
        alive = alive[~won]
    return Fooled(budgets, smallest, distances["Linf"], distances["L2"])
