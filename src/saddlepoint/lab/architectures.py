"""Convolutions, attention, shifted windows: which is more robust at equal clean accuracy?"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jaxtyping import Bool, Float
from torch import Tensor, nn

from saddlepoint.attacks import PGD
from saddlepoint.evaluation import build_suite, mcnemar_test
from saddlepoint.lab.bench import Bench
from saddlepoint.lab.experiment import Settings
from saddlepoint.lab.matched import Trained, matched_epochs, train_watched
from saddlepoint.lab.outputs import predictions
from saddlepoint.lab.panels import keys_of, legend_above, looks, sheet, title_left
from saddlepoint.lab.spread import Spread
from saddlepoint.lab.table import Cell, Table
from saddlepoint.lab.transfer_table import transfer_table
from saddlepoint.lab.vision_networks import network_of
from saddlepoint.option_values import Count, Fraction, NonNegative, Positive
from saddlepoint.progress import Meter
from saddlepoint.streams import derive
from saddlepoint.threat import Linf, format_eps

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class ArchitectureSettings(Settings):
    """Settings of `run_architectures`; the epochs are the bench's.

    Args:
        networks: their names; see `saddlepoint.lab.vision_networks.NETWORKS`.
        seeds: trainings of each.
        held_out: the share of the images by which epochs are chosen.
        within: how far apart two accuracies on them may be to be called equal.
        budgets: Linf, in pixels.
        suite: of attacks, the same for all.
        steps: of the PGD whose images are transferred, at the largest budget.

    >>> ArchitectureSettings(budgets=(0.02, 0.01)).budgets
    (0.01, 0.02)
    """

    networks: tuple[str, ...] = ("resnet20", "vit-micro", "swin-micro", "swin-micro-unshifted")
    seeds: Count = 3
    held_out: Fraction = 0.1
    within: NonNegative = 0.01
    budgets: tuple[Positive, ...] = (0.5 / 255, 1 / 255, 2 / 255)
    suite: str = "fast"
    steps: Count = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        self._sort("budgets")
        for name in self.networks:
            network_of(name)
        build_suite(self.suite, Linf(self.budgets[0]))


@dataclass(frozen=True, eq=False)
class Matched:
    """The networks of one seed at equal clean accuracy.

    Attributes:
        epochs: where each was stopped.
        held_out: the accuracy of each there, on the images held out: how equal they are.
        clean: whether each image is right, by network.
        robust: whether it stands, by network and budget; what was wrong before does not.
        transfer: what is left of each target on the images made for each source, (t, t).
    """

    epochs: Mapping[str, int]
    held_out: Mapping[str, float]
    clean: Mapping[str, Bool[Tensor, " n"]]
    robust: Mapping[str, Mapping[float, Bool[Tensor, " n"]]]
    transfer: Float[Tensor, "t t"]


@dataclass(frozen=True, eq=False)
class Architectures:
    """What was found of every seed.

    Attributes:
        seeds: a `Matched` each.
    """

    seeds: tuple[Matched, ...]

    @property
    def networks(self) -> tuple[str, ...]:
        """The names, in their order."""
        return tuple(self.seeds[0].epochs)

    @property
    def budgets(self) -> tuple[float, ...]:
        """In ascending order."""
        return tuple(self.seeds[0].robust[self.networks[0]])

    @property
    def apart(self) -> float:
        """How far apart the held-out accuracies of a seed are at most: how equal the networks are."""
        held = [each.held_out.values() for each in self.seeds]
        return max(max(each) - min(each) for each in held)

    def clean(self, name: str) -> list[float]:
        """Return the clean accuracy of each seed."""
        return [_share(each.clean[name]) for each in self.seeds]

    def robust(self, name: str, eps: float) -> list[float]:
        """Return the robust accuracy of each seed."""
        return [_share(each.robust[name][eps]) for each in self.seeds]

    def tables(self) -> Mapping[str, Table]:
        """Return accuracies, the paired tests of every seed, and the transfer matrix."""
        rows: list[tuple[Cell, ...]] = [
            (name, i, each.epochs[name], each.held_out[name], _share(each.clean[name]),
             *(_share(each.robust[name][eps]) for eps in self.budgets))
            for i, each in enumerate(self.seeds, start=1)
            for name in self.networks
        ]  # fmt: skip
        eps = tuple(f"eps {format_eps(each)}" for each in self.budgets)
        pairs = []
        for i, each in enumerate(self.seeds, start=1):
            for (a, b), budget in itertools.product(
                itertools.combinations(self.networks, 2), self.budgets
            ):
                test = mcnemar_test(
                    each.robust[a][budget].tolist(), each.robust[b][budget].tolist()
                )
                pairs.append((i, a, b, format_eps(budget), test.b, test.c, test.p))
        transfer = [
            (source, target, *Spread.of([float(each.transfer[s, t]) for each in self.seeds]))
            for s, source in enumerate(self.networks)
            for t, target in enumerate(self.networks)
        ]
        return {
            "summary": Table(("network", "seed", "epoch", "held out", "clean", *eps), tuple(rows)),
            "pairs": Table(("seed", "a", "b", "eps", "a alone", "b alone", "p"), tuple(pairs)),
            "transfer": Table(("source", "target", "accuracy left", "sd"), tuple(transfer)),
        }


def run_architectures(bench: Bench, settings: ArchitectureSettings) -> Architectures:
    """Train each network, stop all of a seed at the same held-out accuracy, and attack them alike.

    >>> from saddlepoint.data import load_data
    >>> test = load_data("digits", split="test", limit=4)
    >>> train = load_data("digits", split="train", limit=64)
    >>> settings = ArchitectureSettings(
    ...     ("plain20", "vit-micro"), seeds=1, budgets=(0.1,), suite="quick", steps=2
    ... )
    >>> found = run_architectures(Bench(test, lambda: train, epochs=1), settings)
    >>> found.networks, found.seeds[0].transfer.shape
    (('plain20', 'vit-micro'), torch.Size([2, 2]))
    """
    steps = bench.epochs + len(settings.budgets)  # of each network: trained, and attacked
    total = settings.seeds * len(settings.networks) * steps
    meter = Meter(bench.progress, total, "epochs and budgets")
    found = []
    with meter.watching():
        for i in range(settings.seeds):
            seed = derive(bench.seed, "repetition", i)
            trained: dict[str, Trained] = {}
            for name in settings.networks:
                meter.say(f"seed {i + 1}, {name}")
                network = network_of(name)
                trained[name] = train_watched(
                    network.build(bench.train, seed).to(bench.device), bench.train,
                    network.recipe_of(bench.epochs, bench.test.shape), share=settings.held_out, seed=seed,
                    after_epoch=meter.add,
                )  # fmt: skip
            chosen = matched_epochs(trained, settings.within)
            held = {name: trained[name].accuracy[epoch - 1] for name, epoch in chosen.items()}
            models = {name: trained[name].stopped_at(epoch) for name, epoch in chosen.items()}
            found.append(_attacked(models, bench, settings, seed, chosen, held, meter))
    return Architectures(tuple(found))


def _attacked(
    models: Mapping[str, nn.Module],
    bench: Bench,
    settings: ArchitectureSettings,
    seed: int,
    epochs: Mapping[str, int],
    held_out: Mapping[str, float],
    meter: Meter,
) -> Matched:
    x, y = bench.images, bench.labels
    clean: dict[str, Tensor] = {}
    robust: dict[str, dict[float, Tensor]] = {}
    for name, model in models.items():
        clean[name] = (predictions(model, x)[0] == y).cpu()
        stands = clean[name].clone()
        robust[name] = {}
        for eps in settings.budgets:
            meter.say(f"{name} under attack at eps {format_eps(eps)}")
            for attack in build_suite(settings.suite, Linf(eps)).values():
                rows = stands.nonzero()[:, 0].to(y.device)
                if len(rows):
                    done = attack(model, x[rows], y[rows], seed=seed, ids=rows)
                    stands[rows.cpu()] &= ~done.success.cpu()
            robust[name][eps] = stands.clone()
            meter.add()
    pgd = {"PGD": PGD(Linf(settings.budgets[-1]), steps=settings.steps)}
    transfer = transfer_table(list(models.values()), x, y, pgd, seed)[1][0]
    return Matched(epochs, held_out, clean, robust, transfer)


def draw_architectures(found: Architectures) -> Figure:
    """Draw accuracy against eps, a line per network, and the transfer matrix in per cent.

    >>> import torch
    >>> yes = torch.tensor([True, False])
    >>> robust = {"a": {0.1: yes}, "b": {0.1: yes}}
    >>> one = Matched({"a": 1, "b": 2}, {"a": 0.5, "b": 0.5}, {"a": yes, "b": yes}, robust, torch.eye(2))
    >>> len(draw_architectures(Architectures((one,))).axes)
    2
    """
    named = looks(found.networks)
    with sheet(8.6, 3.6) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        for name, look in named.items():
            values = [found.clean(name), *(found.robust(name, eps) for eps in found.budgets)]
            spreads = [Spread.of(100 * value for value in each) for each in values]
            left.errorbar(
                [0, *(255 * eps for eps in found.budgets)], [each.mean for each in spreads],
                [0.0 if each.sd != each.sd else each.sd for each in spreads],
                **look.line, markersize=4, capsize=2, elinewidth=0.8,
            )  # fmt: skip
        left.set_ylim(bottom=0)
        left.set_xlabel("eps (Linf, in 255ths)")
        left.set_ylabel("accuracy (%)")
        title_left(left, f"held-out accuracies at most {100 * found.apart:.1f} points apart")
        _draw_transfer(right, found)
        legend_above(figure, keys_of(named), columns=2)
    return figure


def _draw_transfer(axes: Axes, found: Architectures) -> None:
    names: Sequence[str] = found.networks
    total = sum(each.transfer for each in found.seeds)
    assert isinstance(total, Tensor)
    means = (100 * total / len(found.seeds)).tolist()
    axes.imshow(means, cmap="cividis", vmin=0, vmax=100)
    for i, row in enumerate(means):
        for j, value in enumerate(row):
            ink = "black" if value > 55 else "white"
            axes.text(j, i, f"{value:.0f}", ha="center", va="center", color=ink, fontsize=8)
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=7)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_xlabel("attacked")
    axes.set_ylabel("source")
    axes.grid(visible=False)
    title_left(axes, "accuracy left (%), PGD transferred")


def _share(values: Bool[Tensor, " n"]) -> float:
    return float(values.double().mean())
