"""Does PGD overestimate the L2 robustness of a network that was trained in Linf?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from saddlepoint.attacks import DDN, PGD, HopSkipJump, MinimumNorm, SmallestBudget
from saddlepoint.defences import Standard, TrainingObjective
from saddlepoint.lab.bench import Bench
from saddlepoint.lab.madry_family import (
    FamilySettings,
    Trainer,
    family_member,
    learnt_nothing,
    majority,
    pgd_training,
)
from saddlepoint.lab.panels import keys_of, legend_above, looks, sheet, title_left
from saddlepoint.lab.spread import Spread, spread_tables
from saddlepoint.lab.table import Cell, Table
from saddlepoint.option_values import Count, Positive
from saddlepoint.progress import counted
from saddlepoint.threat import L2

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from saddlepoint.reports.style import Look

PGD_NAME, DECISIONS = "PGD", "HopSkipJump"


@dataclass(frozen=True)
class OverestimateSettings(FamilySettings):
    """Settings of `l2_overestimate`.

    Args:
        scale: the width of the networks, where none is given.
        pgd_steps: of PGD at each budget, of 2.5·eps/steps each; the smallest that fools is searched.
        ddn_steps: of DDN, a gradient attack that needs no budget.
        queries: steps of HopSkipJump, the first of 100 queries, the t-th of 100·√t.
        largest: the largest budget of PGD, in pixels; what it does not fool there it does not fool.

    >>> list(attacks_of(OverestimateSettings()))
    ['PGD', 'DDN', 'HopSkipJump']
    """

    scale: Count = 8
    pgd_steps: Count = 100
    ddn_steps: Count = 200
    queries: Count = 30
    largest: Positive = 8.0


def attacks_of(settings: OverestimateSettings) -> Mapping[str, MinimumNorm | SmallestBudget]:
    """Return the attacks by name: two that follow gradients, and one that sees decisions alone.

    >>> attacks_of(OverestimateSettings(queries=5))["HopSkipJump"].steps
    5
    """
    largest = settings.largest
    pgd = PGD.published(L2(largest), steps=settings.pgd_steps, relative_step=2.5)
    return MappingProxyType(
        {
            PGD_NAME: SmallestBudget(pgd, smallest=largest / 64, largest=largest, grid=7),
            "DDN": DDN(L2(), steps=settings.ddn_steps),
            DECISIONS: HopSkipJump(L2(), steps=settings.queries),
        }
    )


@dataclass(frozen=True, eq=False)
class L2Overestimate:
    """The L2 distances that each attack found.

    Attributes:
        majority: the share of the commonest class among the images.
        distance: by network and attack, (s, n) per seed and image: 0 where the image was wrong
            before, infinity where the attack failed. A seed whose network learnt nothing counts in no
            share, median or mean.

    >>> two = {"PGD": torch.tensor([[0.0, 2.0, 4.0]]), "HopSkipJump": torch.tensor([[0.0, 1.0, 3.0]])}
    >>> found = L2Overestimate(0.1, {"adversarial": two})
    >>> found.nearer("adversarial", "HopSkipJump"), found.ratio("adversarial", "HopSkipJump")
    ([1.0], [0.5])
    >>> found.accuracy("adversarial", "PGD", 3.0), found.median("adversarial", "PGD")
    ([0.3333333432674408], [2.0])
    """

    majority: float
    distance: Mapping[str, Mapping[str, Float[Tensor, "s n"]]]

    def learnt(self, network: str, attack: str) -> Float[Tensor, "l n"]:
        """Return the distances of the seeds whose network learnt something."""
        rows = self.distance[network][attack]
        right = (rows > 0).double().mean(1).tolist()
        return rows[[not learnt_nothing(each, self.majority) for each in right]]

    def accuracy(self, network: str, attack: str, eps: float) -> list[float]:
        """Return the share of images that the attack does not fool within eps, per seed."""
        return [float((row > eps).float().mean()) for row in self.learnt(network, attack)]

    def median(self, network: str, attack: str) -> list[float]:
        """Return the median distance of the images that were right before, per seed; NaN of none."""
        return [float(row[row > 0].median()) for row in self.learnt(network, attack)]

    def ratio(self, network: str, attack: str) -> list[float]:
        """Return the median of the distance over PGD's, of images right before, per seed; 0 stands
        for an image that PGD does not fool at all.
        """
        return [float((one / pgd).nanmedian()) for one, pgd in self._right(network, attack)]

    def nearer(self, network: str, attack: str) -> list[float]:
        """Return the share of images, of those right before, that the attack fools nearer than PGD."""
        return [float((one < pgd).double().mean()) for one, pgd in self._right(network, attack)]

    def _right(self, network: str, attack: str) -> list[tuple[Tensor, Tensor]]:
        """Return the distances of the attack and of PGD, of the images right before, per seed."""
        rows = zip(self.learnt(network, attack), self.learnt(network, PGD_NAME), strict=True)
        return [(one[pgd > 0].double(), pgd[pgd > 0].double()) for one, pgd in rows]

    def tables(self) -> Mapping[str, Table]:
        """Return medians and comparisons with PGD, as means over the seeds and with their deviations,
        and all distances.
        """
        names = ("clean", "failed", "median L2", "over PGD", "nearer than PGD")
        rows: list[tuple[Sequence[Cell], Sequence[Iterable[float]]]] = []
        for network, by_attack in self.distance.items():
            for attack in by_attack:
                distance = self.learnt(network, attack)
                right = [float((row > 0).double().mean()) for row in distance]
                failed = [float(row.isinf().double().mean()) for row in distance]
                measures = (
                    right, failed, self.median(network, attack), self.ratio(network, attack),
                    self.nearer(network, attack),
                )  # fmt: skip
                rows.append(((network, attack, len(distance)), measures))
        labels = ("network", "attack", "seeds")
        return {**spread_tables(labels, names, rows), "images": self._images()}

    def _images(self) -> Table:
        def long(distance: Tensor) -> Table:
            seeds, images = (range(size) for size in distance.shape)
            return Table.long(
                {"seed": (i + 1 for i in seeds), "image": images}, {"distance": distance}
            )

        joined = {
            network: Table.joined("attack", {name: long(each) for name, each in found.items()})
            for network, found in self.distance.items()
        }
        return Table.joined("network", joined)


def run_l2_overestimate(bench: Bench, settings: OverestimateSettings) -> L2Overestimate:
    """Attack networks in L2 that were trained on clean images and by PGD in Linf, seed by seed; or the
    one model that the bench was given.

    Reference: Madry et al. 2018, arXiv:1706.06083, figure 6 and section 5.

    >>> from saddlepoint.data import load_data
    >>> test = load_data("digits", split="test", limit=2)
    >>> train = load_data("digits", split="train", limit=64)
    >>> settings = OverestimateSettings(scale=1, seeds=1, pgd_steps=2, ddn_steps=2, queries=1)
    >>> found = run_l2_overestimate(Bench(test, lambda: train, epochs=1), settings)
    >>> list(found.distance)
    ['standard', 'adversarial']
    """
    x, y = bench.images, bench.labels
    if bench.given is not None:
        found = l2_distances(bench.given, x, y, settings, bench.seed)
        given = {name: each[None] for name, each in found.items()}
        return L2Overestimate(majority(y), {"given": given})
    trainer = Trainer(bench, settings, 2 * settings.seeds)
    build = bench.build or family_member(bench.train, settings.scale)
    objectives: dict[str, TrainingObjective] = {
        "standard": Standard(),
        "adversarial": pgd_training(bench.eps, settings.train_steps),
    }
    distance = {}
    for name, objective in objectives.items():
        rows = []
        for i, seed in enumerate(trainer.seeds(), start=1):
            model = trainer.trained(f"{name}, seed {i}", objective, build, seed).model
            rows.append(l2_distances(model, x, y, settings, seed))
        distance[name] = {attack: torch.stack([row[attack] for row in rows]) for attack in rows[0]}
    return L2Overestimate(majority(y), distance)


def l2_distances(
    model: nn.Module,
    images: Float[Tensor, "n ..."],
    labels: Int64[Tensor, " n"],
    settings: OverestimateSettings,
    seed: int = 0,
) -> dict[str, Float[Tensor, " n"]]:
    """Return the L2 distance at which each attack fools each image; infinity where it does not.

    >>> x, y = torch.tensor([[0.75, 0.5]]), torch.tensor([0])
    >>> settings = OverestimateSettings(pgd_steps=10, ddn_steps=50, queries=4)
    >>> found = l2_distances(nn.Flatten(), x, y, settings)  # the boundary is at 0.177
    >>> [round(float(each), 2) for each in found.values()]
    [0.18, 0.18, 0.18]
    """
    attacks = attacks_of(settings)
    return {
        name: attacks[name](model, images, labels, seed=seed).distance.cpu()
        for name in counted(list(attacks), "attacks")
    }


def draw_l2_overestimate(found: L2Overestimate) -> Figure:
    """Draw the accuracy that each attack leaves against eps, a panel per network, and HopSkipJump's
    distance against PGD's of every image of the last network.

    Reference: Madry et al. 2018, arXiv:1706.06083, figure 6.

    >>> two = {"PGD": torch.tensor([[1.0, 2.0]]), "HopSkipJump": torch.tensor([[1.0, 1.5]])}
    >>> len(draw_l2_overestimate(L2Overestimate(0.1, {"adversarial": two})).axes)
    2
    """
    attacks = list(next(iter(found.distance.values())))
    named = looks(attacks)
    with sheet(3.2 * (len(found.distance) + 1), 3.0) as figure:
        *panels, last = figure.subplots(1, len(found.distance) + 1)
        for axes, network in zip(panels, found.distance, strict=True):
            _draw_curves(axes, found, network, named)
            title_left(axes, f"{network} network")
        network = list(found.distance)[-1]
        _draw_pairs(last, *(found.learnt(network, name) for name in (PGD_NAME, DECISIONS)))
        title_left(last, f"{network} network, every image")
        legend_above(figure, keys_of(named))
    return figure


def _draw_curves(
    axes: Axes, found: L2Overestimate, network: str, named: Mapping[str, Look]
) -> None:
    finite = torch.cat([each[each.isfinite()] for each in found.distance[network].values()])
    end = 1.05 * float(finite.max()) if len(finite) else 1.0
    budgets = torch.linspace(0, end, 121).tolist()
    for attack, look in named.items():
        shares = [found.accuracy(network, attack, eps) for eps in budgets]
        spread = [Spread.of(each) for each in shares]
        low, high = ([100 * (m + s * (sd if sd == sd else 0)) for m, sd in spread] for s in (-1, 1))
        axes.fill_between(budgets, low, high, color=look.colour, alpha=0.15, lw=0)
        means = [100 * mean for mean, _ in spread]
        axes.plot(budgets, means, **look.line, markersize=4, markevery=15)
    axes.set_xlim(left=0)
    axes.set_ylim(-2, 102)
    axes.set_xlabel("eps (L2, pixels)")
    axes.set_ylabel("accuracy (%)")


def _draw_pairs(axes: Axes, pgd: Tensor, decisions: Tensor) -> None:
    both = pgd.isfinite() & decisions.isfinite() & (pgd > 0)
    end = 1.05 * float(torch.cat([pgd[both], decisions[both], torch.ones(1)]).max())
    axes.plot([0, end], [0, end], color="black", lw=0.8, ls=":", label="equal")
    axes.plot(
        pgd[both], decisions[both],
        linestyle="", marker=".", color="#5A5A5A", alpha=0.6, label="image",
    )  # fmt: skip
    axes.set(xlim=(0, end), ylim=(0, end), xlabel="L2 distance, PGD")
    axes.set_ylabel("L2 distance, HopSkipJump")
