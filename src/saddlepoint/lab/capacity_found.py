"""What the experiment on capacity finds: networks, pairs of them, and their means over the seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from saddlepoint.lab.madry_family import learnt_nothing
from saddlepoint.lab.spread import spread_tables
from saddlepoint.lab.table import Cell, Table


@dataclass(frozen=True)
class Measured:
    """What a network gets right.

    Attributes:
        clean: the accuracy on the images as they are.
        fgsm: on the images of FGSM's step, whatever was right before.
        pgd: under PGD; what was wrong before counts as wrong.
        commonest: the share of images that get its commonest answer.

    >>> Measured(0.9, 0.95, 0.0, 0.2).leaks
    0.04999999999999993
    """

    clean: float
    fgsm: float
    pgd: float
    commonest: float

    @property
    def leaks(self) -> float:
        """How much better it is on FGSM's images than on the clean ones."""
        return self.fgsm - self.clean


@dataclass(frozen=True)
class Member:
    """One network of the family, trained once.

    Attributes:
        training: in words.
        scale: the factor of its widths.
        repetition: which of the seeds, from 1.
        eps: that it was attacked with.
        losses: the mean loss of each epoch, on the images that were trained on.
        measured: on the test images.

    >>> Member("PGD", 4, 1, 0.3, (2.3, 1.2), Measured(0.9, 0.8, 0.7, 0.1)).losses[-1]
    1.2
    """

    training: str
    scale: int
    repetition: int
    eps: float
    losses: tuple[float, ...]
    measured: Measured


@dataclass(frozen=True)
class Pair:
    """Two trainings of one network, of which the first is the source of an attack.

    Attributes:
        training, scale: of both.
        source, target: their repetitions.
        cosine: of their loss gradients, the mean over the clean images.
        accuracy: of the target on FGSM's images from the source.

    >>> Pair("PGD", 4, 1, 2, 0.5, 0.9).cosine
    0.5
    """

    training: str
    scale: int
    source: int
    target: int
    cosine: float
    accuracy: float


@dataclass(frozen=True)
class Capacity:
    """All networks, and all pairs of seeds.

    Attributes:
        majority: the share of the commonest class among the test images.
        members: by training, scale and repetition.
        pairs: ordered ones, of the same training and scale.

    >>> one = Member("PGD", 1, 1, 0.3, (2.3,), Measured(0.12, 0.12, 0.12, 1.0))
    >>> found = Capacity(0.12, (one,), ())
    >>> found.stuck(one), found.trainings, found.scales
    (True, ('PGD',), (1,))
    """

    majority: float
    members: tuple[Member, ...]
    pairs: tuple[Pair, ...]

    @property
    def trainings(self) -> tuple[str, ...]:
        """The trainings, in the order of the members."""
        return tuple(dict.fromkeys(each.training for each in self.members))

    @property
    def scales(self) -> tuple[int, ...]:
        """The widths, ascending."""
        return tuple(sorted({each.scale for each in self.members}))

    def stuck(self, member: Member) -> bool:
        """Return whether a network ended near the accuracy of one answer for every image."""
        return learnt_nothing(member.measured.clean, self.majority)

    def of(self, training: str, scale: int) -> list[Member]:
        """Return the repetitions of one network."""
        return [m for m in self.members if (m.training, m.scale) == (training, scale)]

    def pairs_of(self, training: str, scale: int) -> list[Pair]:
        """Return the pairs of one network, but for those with a repetition that is stuck."""
        stuck = {each.repetition for each in self.of(training, scale) if self.stuck(each)}
        return [
            p
            for p in self.pairs
            if (p.training, p.scale) == (training, scale) and not stuck & {p.source, p.target}
        ]

    def tables(self) -> Mapping[str, Table]:
        """Return the means and standard deviations over seeds, the networks, the pairs, the losses."""
        networks = tuple(
            (m.training, m.scale, m.repetition, m.eps, *asdict(m.measured).values(), m.losses[-1],
             int(self.stuck(m)))
            for m in self.members
        )  # fmt: skip
        losses = tuple(
            (m.training, m.scale, m.repetition, epoch, loss)
            for m in self.members
            for epoch, loss in enumerate(m.losses, start=1)
        )
        which = ("training", "scale", "seed")
        measures = ("clean", "FGSM", "PGD", "commonest answer", "loss", "stuck")
        return {
            **self._spreads(),
            "networks": Table((*which, "eps", *measures), networks),
            "pairs": Table(
                ("training", "scale", "source", "target", "cosine", "transferred FGSM"),
                tuple(tuple(asdict(pair).values()) for pair in self.pairs),
            ),
            "losses": Table((*which, "epoch", "loss"), losses),
        }

    def _spreads(self) -> Mapping[str, Table]:
        rows: list[tuple[Sequence[Cell], Sequence[Iterable[float]]]] = []
        for training in self.trainings:
            for scale in self.scales:
                members, pairs = self.of(training, scale), self.pairs_of(training, scale)
                measures = (
                    [m.measured.clean for m in members],
                    [m.measured.fgsm for m in members],
                    [m.measured.pgd for m in members],
                    [m.losses[-1] for m in members],
                    [p.cosine for p in pairs if p.source < p.target],
                    [p.accuracy for p in pairs],
                    [float(self.stuck(m)) for m in members],
                )
                rows.append(((training, scale, members[0].eps), measures))
        names = ("clean", "FGSM", "PGD", "loss", "cosine", "transferred FGSM", "stuck")
        return spread_tables(("training", "scale", "eps"), names, rows)
