"""Do images that fool an undistilled network with a margin of κ fool distilled ones?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from saddlepoint.lab.bench import Bench, every_other
from saddlepoint.lab.distillation_figure import plot_spreads
from saddlepoint.lab.distilled import DISTILLED, HARD, distil, hard_labels, seeds_of
from saddlepoint.lab.experiment import Settings
from saddlepoint.lab.outputs import predictions
from saddlepoint.lab.panels import keys_of, legend_above, looks, sheet, title_left
from saddlepoint.lab.spread import Spread
from saddlepoint.lab.table import Cell, Table
from saddlepoint.lab.transfer_confidence import (
    AIMS,
    NOISE,
    TransferConfidence,
    TransferSettings,
    transfer_confidence,
)
from saddlepoint.option_values import Count, NonNegative, Positive
from saddlepoint.progress import counted
from saddlepoint.streams import derive

if TYPE_CHECKING:
    from matplotlib.figure import Figure

UNDISTILLED = "undistilled"


@dataclass(frozen=True)
class DistillationTransferSettings(Settings):
    """Settings of `run_distillation_transfer`.

    Args:
        kappa: κ, the margin that A is fooled with, in logits.
        temperature: T of the distilled networks.
        repeats: sets of networks, each with seeds of its own.
        learning_rate: Adam's peak, of all trainings.
        steps: of Adam per c, at most.
        searches: values of c, at most.

    >>> DistillationTransferSettings().kappa[-1]
    40.0
    """

    kappa: tuple[NonNegative, ...] = (0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0)
    temperature: Positive = 100.0
    repeats: Count = 3
    learning_rate: Positive = 0.006
    steps: Count = 200
    searches: Count = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        self._sort("kappa")


@dataclass(frozen=True, eq=False)
class DistillationTransfer:
    """Transfer by κ from an undistilled network to others that learnt from the other half.

    Attributes:
        kappa: ascending.
        temperature: T of the distilled networks.
        found: by seed, the outcomes, with the attacked network's own.

    >>> DistillationTransfer((0.0,), 100.0, {}).victims
    []
    """

    kappa: tuple[float, ...]
    temperature: float
    found: Mapping[int, TransferConfidence]

    @property
    def victims(self) -> list[str]:
        """The networks, the attacked one first."""
        first = next(iter(self.found.values()), None)
        return [] if first is None else list(first.aims[AIMS[0]].fooled)

    @property
    def margin(self) -> Spread:
        """The median margin of A on the clean images, in logits."""
        return Spread.of(each.margin for each in self.found.values())

    def fooled(self, aim: str, network: str) -> list[Spread]:
        """Return, for each κ, the share of images that a network takes as the aim has it."""
        shares = [each.share(aim, network) for each in self.found.values()]
        return [Spread.of(p.value for p in row) for row in zip(*shares, strict=True)]

    def distance(self, aim: str) -> list[Spread]:
        """Return, for each κ, the mean L2 distance of the images that fool A."""
        rows = zip(*(each.distance(aim) for each in self.found.values()), strict=True)
        return [Spread.of(row) for row in rows]

    def reached(self, aim: str) -> list[Spread]:
        """Return, for each κ, the share of images that fool A with that margin."""
        shares = [
            each.aims[aim].confident[:, each.right].double().mean(1).tolist()
            for each in self.found.values()
        ]
        return [Spread.of(row) for row in zip(*shares, strict=True)]

    def tables(self) -> Mapping[str, Table]:
        """Return the shares by aim, network and κ over the seeds, and every seed's own tables."""
        rows: list[tuple[Cell, ...]] = [
            (aim, network, k, share.mean, share.sd, reached.mean, far.mean)
            for aim in (*AIMS, NOISE)
            for network in self.victims
            for k, share, reached, far in zip(
                self.kappa, self.fooled(aim, network), self.reached(aim), self.distance(aim),
                strict=True,
            )
        ]  # fmt: skip
        columns = ("towards", "network", "κ", "fooled", "sd", "A reached κ", "distance")
        each = {f"{seed}": found.tables()["summary"] for seed, found in self.found.items()}
        return {"summary": Table(columns, tuple(rows)), "seeds": Table.joined("seed", each)}


def run_distillation_transfer(
    bench: Bench, settings: DistillationTransferSettings
) -> DistillationTransfer:
    """Train A on one half of the training images and the others on the other half; attack A.

    Of the second half are an undistilled network, one trained at T on the labels, and its student.

    Reference: Carlini and Wagner 2017, arXiv:1608.04644, section VIII-D, figures 9 and 10.

    >>> from saddlepoint.data import load_data
    >>> test = load_data("digits", split="test", limit=4)
    >>> train = load_data("digits", split="train", limit=64)
    >>> settings = DistillationTransferSettings(kappa=(0.0,), repeats=1, steps=10, searches=1)
    >>> run_distillation_transfer(Bench(test, lambda: train, epochs=1), settings).victims
    ['A', 'undistilled', 'hard labels', 'distilled']
    """
    first, second = (every_other(bench.train, start) for start in (0, 1))
    found = {}
    rate = settings.learning_rate
    for seed in counted(seeds_of(bench, settings.repeats), "seeds"):
        other = derive(seed, "second half")
        source = hard_labels(bench, 1.0, rate, seed, first)
        pair = distil(bench, settings.temperature, rate, other, second)
        victims = {
            UNDISTILLED: hard_labels(bench, 1.0, rate, derive(seed, UNDISTILLED), second),
            HARD: pair.hard,
            DISTILLED: pair.student,
        }
        margin = float(predictions(source, bench.images)[1].median())
        how = TransferSettings(
            confidence=tuple(k / margin for k in settings.kappa),
            steps=settings.steps,
            searches=settings.searches,
        )
        images, labels = bench.images, bench.labels
        found[seed] = transfer_confidence(source, victims, images, labels, how, bench.seed)
    return DistillationTransfer(settings.kappa, settings.temperature, found)


def draw_distillation_transfer(found: DistillationTransfer) -> Figure:
    """Draw against κ the share of images that fool each network, per aim, and what κ costs.

    Reference: Carlini and Wagner 2017, arXiv:1608.04644, figures 9 and 10.

    >>> len(draw_distillation_transfer(DistillationTransfer((0.0,), 100.0, {})).axes)
    3
    """
    named = looks([*found.victims, NOISE])
    with sheet(9.6, 3.4) as figure:
        *panels, last = figure.subplots(1, 3, gridspec_kw={"wspace": 0.06})
        for axes, aim in zip(panels, AIMS, strict=True):
            for network in found.victims:
                plot_spreads(axes, found.kappa, found.fooled(aim, network), named[network], 100)
            axes.set_ylim(-4, 104)
            axes.set_ylabel("fooled (%)")
            title_left(axes, f"A attacked towards {aim}")
        if found.victims:
            noise = found.fooled(NOISE, UNDISTILLED)
            plot_spreads(panels[0], found.kappa, noise, named[NOISE], 100)
            for aim, look in looks(AIMS).items():
                plot_spreads(last, found.kappa, found.distance(aim), look, label=aim)
            last.legend(loc="lower right", fontsize=8)
        last.set_ylabel("mean L2 distance")
        last.set_ylim(bottom=0)
        title_left(last, "length of the change")
        for axes in (*panels, last):
            axes.set_xlabel(f"κ (logits; A's median margin is {found.margin.mean:.1f})", fontsize=8)
        handles = keys_of(named)
        handles[-1].set_label(f"{NOISE}, on {UNDISTILLED}")
        legend_above(figure, handles)
    return figure
