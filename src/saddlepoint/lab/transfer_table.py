"""What adversarial images of one network do to another: the table of Madry et al."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from saddlepoint.attacks import FGSM, PGD
from saddlepoint.defences import Standard, TrainingObjective
from saddlepoint.lab.bench import Bench, small_network
from saddlepoint.lab.madry_family import (
    Build,
    FamilySettings,
    Trainer,
    family_member,
    learnt_nothing,
    majority,
    pgd_training,
)
from saddlepoint.lab.outputs import losses, predictions
from saddlepoint.lab.panels import sheet, title_left
from saddlepoint.lab.spread import Spread
from saddlepoint.lab.table import Cell, Table
from saddlepoint.option_values import Count
from saddlepoint.progress import counted
from saddlepoint.streams import derive
from saddlepoint.threat import Linf
from saddlepoint.threat.norms import expand

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NETWORKS = ("A", "A′", "A nat", "B")


@dataclass(frozen=True)
class TransferTableSettings(FamilySettings):
    """Settings of `run_transfer_table`; eps is the bench's.

    Args:
        scale: the width of A, where no other model is named.
        steps: of each PGD.
        restarts: of the PGD with the most steps.

    >>> list(attacks_of(TransferTableSettings(steps=(40, 20)), 0.3))
    ['FGSM', 'PGD-20', 'PGD-40 × 2', 'margin PGD-40']
    """

    scale: Count = 8
    steps: tuple[Count, ...] = (20, 40, 100)
    restarts: Count = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        self._sort("steps")


def attacks_of(settings: TransferTableSettings, eps: float) -> dict[str, FGSM | PGD]:
    """Return the attacks by name. PGD's steps are of 2.5·eps/steps, at 40 steps and eps 0.3 twice as
    long as in table 1; the last climbs the objective of Carlini and Wagner, which that table calls
    CW.

    >>> attacks_of(TransferTableSettings(), 0.3)["PGD-100 × 2"].restarts
    2
    """
    ball = Linf(eps)
    *fewer, most = settings.steps
    last = f"PGD-{most} × {settings.restarts}"
    return {
        "FGSM": FGSM(ball),
        **{f"PGD-{steps}": PGD(ball, steps=steps) for steps in fewer},
        last: PGD(ball, steps=most, restarts=settings.restarts),
        f"margin PGD-{most}": PGD(ball, steps=most, loss="margin"),
    }


@dataclass(frozen=True, eq=False)
class TransferTable:
    """The accuracy that is left, by seed, attack, source and target.

    Attributes:
        majority: the share of the commonest class among the images.
        attacks: the a names.
        clean: (s, t) without an attack, per seed and network.
        accuracy: (s, a, t, t) per seed, attack, source and target; a network that is its own source is
            attacked directly. What was wrong before counts as wrong.

    >>> clean = torch.tensor([[0.9, 0.9, 0.9, 0.9], [0.1, 0.9, 0.9, 0.9]])
    >>> accuracy = torch.tensor([0.5, 0.1])[:, None, None, None].expand(2, 1, 4, 4)
    >>> found = TransferTable(0.1, ("FGSM",), clean, accuracy)
    >>> found.learnt.tolist(), found.mean("FGSM", "A", "B")
    ([True, False], Spread(mean=0.5, sd=nan))
    """

    majority: float
    attacks: tuple[str, ...]
    clean: Float[Tensor, "s t"]
    accuracy: Float[Tensor, "s a t t"]

    @property
    def learnt(self) -> Bool[Tensor, " s"]:
        """The seeds of which every network learnt something; means are over these."""
        rows = self.clean.tolist()
        return torch.tensor(
            [not any(learnt_nothing(a, self.majority) for a in row) for row in rows]
        )

    def mean(self, attack: str, source: str, target: str) -> tuple[float, float]:
        """Return the mean and the standard deviation over the seeds of which every network learnt."""
        i, j = NETWORKS.index(source), NETWORKS.index(target)
        return Spread.of(self.accuracy[self.learnt, self.attacks.index(attack), i, j].tolist())

    def tables(self) -> Mapping[str, Table]:
        """Return means and standard deviations per attack, source and target, and every seed's."""
        natural = [Spread.of(column.tolist()) for column in self.clean[self.learnt].unbind(1)]
        seeds = int(self.learnt.sum())
        rows: list[tuple[Cell, ...]] = [("none", "", *(n for p in natural for n in p), seeds)]
        for attack in self.attacks:
            for source in NETWORKS:
                pairs = [self.mean(attack, source, target) for target in NETWORKS]
                rows.append((attack, source, *(n for pair in pairs for n in pair), seeds))
        columns = (name for each in NETWORKS for name in (each, f"{each} sd"))
        repetitions = range(1, len(self.clean) + 1)
        axes: dict[str, Sequence[Cell]] = {
            "seed": repetitions, "attack": self.attacks, "source": NETWORKS, "target": NETWORKS,
        }  # fmt: skip
        return {
            "summary": Table(("attack", "source", *columns, "seeds"), tuple(rows)),
            "accuracies": Table.long(axes, {"accuracy": self.accuracy}),
            "clean": Table.long(
                {"seed": repetitions, "network": NETWORKS}, {"accuracy": self.clean}
            ),
        }


def run_transfer_table(bench: Bench, settings: TransferTableSettings) -> TransferTable:
    """Train A, A′, A nat and B for each seed, and attack each with the images of each.

    A′ is A with other first weights and another order, A nat is A trained on clean images, B the lab's
    small network with BatchNorm; A, A′ and B are trained by PGD.

    Reference: Madry et al. 2018, arXiv:1706.06083, section 5, table 1.

    >>> from saddlepoint.data import load_data
    >>> test = load_data("digits", split="test", limit=4)
    >>> train = load_data("digits", split="train", limit=64)
    >>> settings = TransferTableSettings(scale=1, seeds=1, steps=(2,), restarts=1)
    >>> run_transfer_table(Bench(test, lambda: train, epochs=1), settings).accuracy.shape
    torch.Size([1, 3, 4, 4])
    """
    attacks = attacks_of(settings, bench.eps)
    trainer = Trainer(bench, settings, len(NETWORKS) * settings.seeds)
    build = bench.build or family_member(bench.train, settings.scale)
    robust = pgd_training(bench.eps, settings.train_steps)
    clean, accuracy = [], []
    for seed in trainer.seeds():
        other = derive(seed, "other")
        made: dict[str, tuple[TrainingObjective, Build, int]] = {
            "A": (robust, build, seed),
            "A′": (robust, build, other),
            "A nat": (Standard(), build, seed),
            "B": (robust, lambda first: small_network(bench.train, first), derive(seed, "B")),
        }
        networks = [trainer.trained(name, *made[name]).model for name in NETWORKS]
        found = transfer_table(networks, bench.images, bench.labels, attacks, seed)
        clean.append(found[0])
        accuracy.append(found[1])
    most = majority(bench.labels)
    return TransferTable(most, tuple(attacks), torch.stack(clean), torch.stack(accuracy))


def transfer_table(
    networks: Sequence[nn.Module],
    images: Float[Tensor, "n ..."],
    labels: Int64[Tensor, " n"],
    attacks: Mapping[str, FGSM | PGD],
    seed: int = 0,
) -> tuple[Float[Tensor, " t"], Float[Tensor, "a t t"]]:
    """Return the clean accuracy of each network, and what each attack on each leaves of each.

    >>> x, y = torch.tensor([[0.55, 0.5], [0.9, 0.5]]), torch.tensor([0, 0])
    >>> attacks = {"FGSM": FGSM(Linf(0.1))}
    >>> transfer_table([nn.Flatten(), nn.Flatten()], x, y, attacks)[1]
    tensor([[[0.5000, 0.5000],
             [0.5000, 0.5000]]])
    """
    right = [(predictions(network, images)[0] == labels).cpu() for network in networks]
    found = torch.empty(len(attacks), len(networks), len(networks))
    for a, attack in enumerate(counted(attacks.values(), "attacks")):
        for i, source in enumerate(networks):
            made = hardest(attack, source, images, labels, seed)
            for j, target in enumerate(networks):
                if i == j:  # any iterate of any restart counts
                    held = ~attack(source, images, labels, seed=seed).success.cpu()
                else:
                    held = (predictions(target, made)[0] == labels).cpu() & right[j]
                found[a, i, j] = held.float().mean()
    return torch.stack([each.float().mean() for each in right]), found


def hardest(
    attack: FGSM | PGD,
    source: nn.Module,
    images: Float[Tensor, "n ..."],
    labels: Int64[Tensor, " n"],
    seed: int = 0,
) -> Float[Tensor, "n ..."]:
    """Return for each image the last iterate, of all restarts, that has the largest loss of the source.

    An attack that stopped at the first success would fool the source by a hair, and others not at
    all; and what the source is wrong about would not be attacked.

    >>> x = torch.tensor([[0.75, 0.5], [0.25, 0.5]])
    >>> hardest(FGSM(Linf(0.25)), nn.Flatten(), x, torch.tensor([0, 0]))
    tensor([[0.5000, 0.7500],
            [0.0000, 0.7500]])
    """
    once = replace(attack, restarts=1) if isinstance(attack, PGD) else attack
    restarts = attack.restarts if isinstance(attack, PGD) else 1
    best, most = images, torch.full((len(images),), -torch.inf)
    for restart in range(restarts):
        again = derive(seed, "restart", restart)
        each = once.candidates(source, images, labels, seed=again)
        loss = losses(source, each, labels)
        better = (loss > most).to(images.device)
        best = torch.where(expand(better, images), each, best)
        most = torch.maximum(most, loss)
    return best


def draw_transfer_table(found: TransferTable) -> Figure:
    """Draw a square per attack: the accuracy in per cent of each target on the images of each source.

    >>> found = TransferTable(0.1, ("FGSM",), torch.ones(1, 4), torch.full((1, 1, 4, 4), 0.5))
    >>> len(draw_transfer_table(found).axes)
    1
    """
    with sheet(2.15 * len(found.attacks), 2.5) as figure:
        panels = figure.subplots(1, len(found.attacks), squeeze=False)[0]
        for i, (axes, attack) in enumerate(zip(panels, found.attacks, strict=True)):
            _draw_square(axes, found, attack)
            title_left(axes, attack)
            axes.set_yticks(range(len(NETWORKS)), NETWORKS if i == 0 else [])
            axes.set_xlabel("attacked")
        panels[0].set_ylabel("source")
    return figure


def _draw_square(axes: Axes, found: TransferTable, attack: str) -> None:
    means = [[100 * found.mean(attack, s, t)[0] for t in NETWORKS] for s in NETWORKS]
    axes.imshow(means, cmap="cividis", vmin=0, vmax=100)
    for i, row in enumerate(means):
        for j, value in enumerate(row):
            ink = "black" if value > 55 else "white"
            axes.text(j, i, f"{value:.0f}", ha="center", va="center", color=ink, fontsize=8)
    axes.set_xticks(range(len(NETWORKS)), NETWORKS)
    axes.grid(visible=False)
