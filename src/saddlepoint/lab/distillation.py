"""Defensive distillation against the temperature: which attacks it stops, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields

import torch

from saddlepoint.lab.bench import Bench
from saddlepoint.lab.distillation_attacks import ANY, LINES, strike
from saddlepoint.lab.distilled import DISTILLED, KINDS, distil, seeds_of
from saddlepoint.lab.experiment import Settings
from saddlepoint.lab.outputs import predictions
from saddlepoint.lab.saturation import Saturation, exponent, saturation
from saddlepoint.lab.spread import Spread
from saddlepoint.lab.table import Cell, Table
from saddlepoint.lab.targets import random_classes
from saddlepoint.option_values import Count, Positive, Share
from saddlepoint.progress import counted


@dataclass(frozen=True)
class DistillationSettings(Settings):
    """Settings of `run_distillation`.

    Args:
        temperatures: T, of teacher and student.
        repeats: trainings per T, each with seeds of its own.
        learning_rate: Adam's peak, the same at every T.
        attacked: how many of the images are attacked; outputs are measured on all.
        eps: FGSM's budget in Linf.
        steps: Adam's per c in C&W's attacks, at most.
        max_changed: the share of features that JSMA may change.

    >>> DistillationSettings().temperatures
    (1.0, 5.0, 10.0, 20.0, 50.0, 100.0)
    """

    temperatures: tuple[Positive, ...] = (1.0, 5.0, 10.0, 20.0, 50.0, 100.0)
    repeats: Count = 3
    learning_rate: Positive = 0.006
    attacked: Count = 50
    eps: Positive = 0.25
    steps: Count = 100
    max_changed: Share = 0.145

    def __post_init__(self) -> None:
        super().__post_init__()
        self._sort("temperatures")


@dataclass(frozen=True)
class Blow:
    """What one attack did to one network.

    Attributes:
        kind: of `KINDS`.
        temperature, seed: of the training.
        aim: of `AIMS`.
        attack: of `LINES`, by name.
        images: right before.
        fooled: the share of them.
        distance: the mean of the fooled, in the attack's norm; NaN without any.

    >>> Blow("distilled", 20.0, 0, "any other class", "C&W L2", 50, 1.0, 1.5).fooled
    1.0
    """

    kind: str
    temperature: float
    seed: int
    aim: str
    attack: str
    images: int
    fooled: float
    distance: float


@dataclass(frozen=True)
class Measured:
    """What the outputs of one network are like.

    Attributes:
        kind, temperature, seed: as of `Blow`.
        learning_rate: of its training.
        outputs: without attack.

    >>> found = Saturation(1, 1.0, 9.0, 12.0, 0.0, 0.0, 0.0, 0.0)
    >>> Measured("distilled", 20.0, 0, 0.006, found).outputs.mean_logit
    9.0
    """

    kind: str
    temperature: float
    seed: int
    learning_rate: float
    outputs: Saturation


@dataclass(frozen=True)
class DistillationFindings:
    """All networks and all attacks on them.

    >>> blow = Blow("distilled", 20.0, 0, "any other class", "C&W L2", 50, 1.0, 1.5)
    >>> found = DistillationFindings((), (blow,))
    >>> found.fooled("distilled", "any other class", "C&W L2", 20.0).mean
    1.0
    """

    measured: tuple[Measured, ...]
    blows: tuple[Blow, ...]

    @property
    def temperatures(self) -> list[float]:
        """T, ascending."""
        return sorted({each.temperature for each in self.measured})

    def fooled(self, kind: str, aim: str, attack: str, temperature: float) -> Spread:
        """Return the share of images that an attack fools, over the seeds."""
        return Spread.of(b.fooled for b in self._of(kind, aim, attack, temperature))

    def distance(self, kind: str, aim: str, attack: str, temperature: float) -> Spread:
        """Return the mean distance of the fooled images, over the seeds where there are any."""
        return Spread.of(b.distance for b in self._of(kind, aim, attack, temperature))

    def attacks(self, kind: str, aim: str) -> list[str]:
        """Return the attacks that were run, in the order of `LINES`."""
        there = {b.attack for b in self.blows if (b.kind, b.aim) == (kind, aim)}
        return [line.name for line in LINES if line.name in there]

    def outputs(self, kind: str, what: str, temperature: float) -> Spread:
        """Return a field of `Saturation`, over the seeds."""
        return Spread.of(
            getattr(each.outputs, what)
            for each in self.measured
            if (each.kind, each.temperature) == (kind, temperature)
        )

    def growth(self, kind: str) -> Spread:
        """Return the exponent a of mean |Z| ~ Tᵃ, over the seeds; 1 is in proportion."""
        of_kind = [each for each in self.measured if each.kind == kind]
        return Spread.of(
            exponent([m.temperature for m in some], [m.outputs.mean_logit for m in some])
            for seed in sorted({each.seed for each in of_kind})
            for some in ([m for m in of_kind if m.seed == seed],)
        )

    def _of(self, kind: str, aim: str, attack: str, temperature: float) -> list[Blow]:
        key = (kind, aim, attack, temperature)
        return [b for b in self.blows if (b.kind, b.aim, b.attack, b.temperature) == key]

    def tables(self) -> Mapping[str, Table]:
        """Return the shares by T, then with distances, the outputs by T, and every single one."""
        columns = ("network", "towards", "attack", *(f"T={t:g}" for t in self.temperatures))
        rows: list[tuple[Cell, ...]] = []
        attacks: list[tuple[Cell, ...]] = []
        for kind, aim, attack in self._lines():
            fooled = [self.fooled(kind, aim, attack, t) for t in self.temperatures]
            rows.append((kind, aim, attack, *(each.mean for each in fooled)))
            for t, share in zip(self.temperatures, fooled, strict=True):
                far = self.distance(kind, aim, attack, t)
                attacks.append((kind, aim, attack, t, share.mean, share.sd, far.mean, far.sd))
        head = ("network", "towards", "attack", "T", "fooled", "sd", "distance", "distance sd")
        return {
            "summary": Table(columns, tuple(rows)),
            "attacks": Table(head, tuple(attacks)),
            "outputs": self._outputs(),
            "networks": self._networks(),
            "blows": Table(
                tuple(f.name for f in fields(Blow)),
                tuple(tuple(asdict(b).values()) for b in self.blows),
            ),
        }

    def _lines(self) -> list[tuple[str, str, str]]:
        aims = dict.fromkeys(b.aim for b in self.blows)
        return [(k, aim, a) for k in KINDS for aim in aims for a in self.attacks(k, aim)]

    def _outputs(self) -> Table:
        names = [field.name for field in fields(Saturation)]
        rows: list[tuple[Cell, ...]] = [
            (kind, t, self.growth(kind).mean, *(cell for s in spreads for cell in (s.mean, s.sd)))
            for kind in KINDS
            for t in self.temperatures
            for spreads in ([self.outputs(kind, name, t) for name in names],)
        ]
        pairs = [column for name in names for column in (name, f"{name} sd")]
        return Table(("network", "T", "exponent of |Z|", *pairs), tuple(rows))

    def _networks(self) -> Table:
        rows = [
            (m.kind, m.temperature, m.seed, m.learning_rate, *asdict(m.outputs).values())
            for m in self.measured
        ]
        names = [field.name for field in fields(Saturation)]
        return Table(("network", "T", "seed", "learning rate", *names), tuple(rows))


def run_distillation(bench: Bench, settings: DistillationSettings) -> DistillationFindings:
    """Train teachers and students at every T, measure their outputs, and attack them.

    Reference: Papernot et al. 2016, arXiv:1511.04508; Carlini and Wagner 2017, arXiv:1608.04644,
    section VIII.

    >>> from saddlepoint.data import load_data
    >>> test = load_data("digits", split="test", limit=4)
    >>> bench = Bench(test, lambda: load_data("digits", split="train", limit=64), epochs=1)
    >>> settings = DistillationSettings(temperatures=(20.0,), repeats=1, attacked=2, steps=5)
    >>> len(run_distillation(bench, settings).measured)  # with and without a teacher
    2
    """
    cases = [(t, seed) for seed in seeds_of(bench, settings.repeats) for t in settings.temperatures]
    measured: list[Measured] = []
    blows: list[Blow] = []
    for temperature, seed in counted(cases, "distillations"):
        pair = distil(bench, temperature, settings.learning_rate, seed)
        for kind, net in pair.networks.items():
            outputs = saturation(net, bench.images, bench.labels)
            rate = settings.learning_rate
            measured.append(Measured(kind, temperature, seed, rate, outputs))
            blows += _attacked(bench, settings, kind, net, temperature, seed)
    return DistillationFindings(tuple(measured), tuple(blows))


def _attacked(
    bench: Bench,
    settings: DistillationSettings,
    kind: str,
    net: torch.nn.Module,
    temperature: float,
    seed: int,
) -> Sequence[Blow]:
    images, labels = bench.images[: settings.attacked], bench.labels[: settings.attacked]
    right = predictions(net, images)[0] == labels
    x, y = images[right], labels[right]
    # The same classes for every network: drawn for all images, then those of the right ones.
    given = random_classes(labels, len(bench.test.classes), bench.seed)[right]
    found = []
    for line in LINES:
        aims = line.aims if kind == DISTILLED else (ANY,) * line.teacherless
        for aim in aims:
            struck = strike(line, net, x, y, None if aim == ANY else given, settings, seed)
            cells = (len(x), struck.share, struck.mean_distance)
            found.append(Blow(kind, temperature, seed, aim, line.name, *cells))
    return found
