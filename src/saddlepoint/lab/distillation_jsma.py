"""Why JSMA gives up: the published explanation on the printed logits, a toy, and real networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.attacks import CarliniWagnerL0, CarliniWagnerL2
from saddlepoint.lab.bench import Bench
from saddlepoint.lab.distilled import distil, seeds_of
from saddlepoint.lab.experiment import Settings
from saddlepoint.lab.jsma_variants import JSMA_VARIANTS, jsma_reaches, outvoted, printed_toy
from saddlepoint.lab.outputs import logits_of, predictions
from saddlepoint.lab.saturation import PRINTED_LOGITS, vanished
from saddlepoint.lab.spread import Spread
from saddlepoint.lab.table import Cell, Table
from saddlepoint.lab.targets import random_classes
from saddlepoint.option_values import Count, Positive, Share
from saddlepoint.progress import counted
from saddlepoint.threat import L0, L2

EXAMPLE = (10.0, *(0.0,) * 8, -100.0)
"""Ten logits of which the largest is 10 and the smallest −100, as in the notes."""
STEP = 10.0
_TARGET = 3  # of the printed logits


@dataclass(frozen=True)
class JsmaSettings(Settings):
    """Settings of `run_jsma`.

    Args:
        temperatures: T, of teacher and student.
        repeats: trainings per T, each with seeds of its own.
        learning_rate: Adam's peak, the same at every T.
        max_changed: γ, the share of features that counts as a success of the published attack.

    >>> JsmaSettings(temperatures=(100.0, 1.0)).temperatures
    (1.0, 100.0)
    """

    temperatures: tuple[Positive, ...] = (1.0, 100.0)
    repeats: Count = 3
    learning_rate: Positive = 0.006
    max_changed: Share = 0.145

    def __post_init__(self) -> None:
        super().__post_init__()
        self._sort("temperatures")


@dataclass(frozen=True)
class JsmaCase:
    """What a variant of JSMA came to on one distilled network, towards a random class each.

    Attributes:
        temperature, seed: of the training.
        variant: of `JSMA_VARIANTS`.
        images: right before.
        within: the share that reaches the target within γ.
        beyond: the share that reaches it with more features.
        changed: the mean number of features of all that reach it.

    >>> JsmaCase(1.0, 0, "JSMA-Z", 50, 0.5, 0.25, 40.0).gave_up
    0.25
    """

    temperature: float
    seed: int
    variant: str
    images: int
    within: float
    beyond: float
    changed: float

    @property
    def gave_up(self) -> float:
        """The share on which no pair of the features that were left counted."""
        return 1 - self.within - self.beyond


@dataclass(frozen=True)
class LogitCase:
    """What the logits of one distilled network are like.

    Attributes:
        temperature, seed: of the training.
        vanished: the mean share of other classes whose probability is exactly 0 in float32.
        outvoted: the mean share of useful pairs that JSMA refuses; see `outvoted`.
        lowest: the mean of the largest change of any probability as the smallest logit rises by 10.
        highest: the same as the largest logit falls by 10.

    >>> LogitCase(1.0, 0, 0.0, 0.5, 0.0, 0.9).outvoted
    0.5
    """

    temperature: float
    seed: int
    vanished: float
    outvoted: float
    lowest: float
    highest: float


@dataclass(frozen=True, eq=False)
class JsmaFindings:
    """All that was found.

    Attributes:
        toy: by attack, the features changed on the toy with the printed logits; NaN: it gave up.
        cases: of real networks.
        logits: of real networks.
        examples: by T, the logits of the first image that every network classifies rightly.

    >>> JsmaFindings({"JSMA-Z": float("nan")}, (), (), {}).tables()["toy"].rows[0][:2]
    ('JSMA-Z', 0)
    """

    toy: Mapping[str, float]
    cases: tuple[JsmaCase, ...]
    logits: tuple[LogitCase, ...]
    examples: Mapping[float, Float[Tensor, " k"]]

    @property
    def temperatures(self) -> list[float]:
        """T, ascending."""
        return sorted({each.temperature for each in self.cases})

    def of(self, what: str, variant: str, temperature: float) -> Spread:
        """Return `within`, `beyond`, `changed` or `gave_up` over the seeds."""
        return Spread.of(
            getattr(case, what)
            for case in self.cases
            if (case.variant, case.temperature) == (variant, temperature)
        )

    def logit(self, what: str, temperature: float) -> Spread:
        """Return a field of `LogitCase` over the seeds."""
        return Spread.of(
            getattr(case, what) for case in self.logits if case.temperature == temperature
        )

    def tables(self) -> Mapping[str, Table]:
        """Return the outcomes and the logits by T, the toy, and every single case."""
        whats = ("within", "beyond", "gave_up", "changed")
        rows: list[tuple[Cell, ...]] = [
            (t, variant, *(cell for s in spreads for cell in (s.mean, s.sd)))
            for t in self.temperatures
            for variant in JSMA_VARIANTS
            for spreads in ([self.of(what, variant, t) for what in whats],)
        ]
        columns = ("within γ", "sd", "beyond γ", "sd", "gave up", "sd", "features", "sd")
        parts = [f.name for f in fields(LogitCase)][2:]
        outputs: list[tuple[Cell, ...]] = [
            (t, part, spread.mean, spread.sd)
            for t in self.temperatures
            for part in parts
            for spread in (self.logit(part, t),)
        ]
        nudges = [
            (name, *nudges_of(torch.tensor([logits])))
            for name, logits in (("example", EXAMPLE), ("printed", PRINTED_LOGITS))
        ]
        return {
            "summary": Table(("T", "attack", *columns), tuple(rows)),
            "logits": Table(("T", "what", "mean", "sd"), tuple(outputs)),
            "nudges": Table(("logits", "lowest + 10", "highest − 10"), tuple(nudges)),
            "toy": Table(
                ("attack", "success", "features"),
                tuple((name, int(far == far), far) for name, far in self.toy.items()),
            ),
            "cases": Table(
                tuple(f.name for f in fields(JsmaCase)),
                tuple(tuple(asdict(case).values()) for case in self.cases),
            ),
        }


def nudges_of(logits: Float[Tensor, "n k"]) -> tuple[float, float]:
    """Return the largest change of a probability, mean over rows, as the smallest logit of each row
    rises by 10, and as the largest falls by 10.

    >>> [round(each, 3) for each in nudges_of(torch.tensor([EXAMPLE]))]
    [0.0, 0.889]
    """
    before = logits.softmax(1)
    changes = []
    for place, step in ((logits.argmin(1), STEP), (logits.argmax(1), -STEP)):
        moved = logits.scatter_add(1, place[:, None], torch.full_like(logits[:, :1], step))
        changes.append(float((moved.softmax(1) - before).abs().amax(1).mean()))
    return changes[0], changes[1]


def toy_outcomes() -> dict[str, float]:
    """Return how many features each attack changes on the toy with the printed logits, towards class
    3; NaN where it gives up.

    >>> found = toy_outcomes()
    >>> found["JSMA-Z, two classes"], found["C&W L0"], found["JSMA-Z"]
    (8.0, 8.0, nan)
    """
    net, x = printed_toy(), torch.zeros(1, 20)
    labels, targets = torch.tensor([PRINTED_LOGITS]).argmax(1), torch.tensor([_TARGET])
    found = {
        name: float(jsma_reaches(name, net, x, labels, targets).changed) for name in JSMA_VARIANTS
    }
    for name, attack in (
        ("C&W L0", CarliniWagnerL0(L0(), steps=50, learning_rate=0.05, patience=10)),
        ("C&W L2", CarliniWagnerL2(L2(), steps=100, searches=5)),
    ):
        result = attack(net, x, labels, targets)
        changed = (result.adversarials != x).sum()
        found[name] = float(changed) if bool(result.success) else float("nan")
    return found


def run_jsma(bench: Bench, settings: JsmaSettings) -> JsmaFindings:
    """Run the variants of JSMA on the toy, and on distilled networks of every T.

    Reference: Papernot et al. 2016, arXiv:1511.07528; Carlini and Wagner 2017, arXiv:1608.04644,
    section VIII-A.

    >>> from saddlepoint.data import load_data
    >>> test = load_data("digits", split="test", limit=4)
    >>> bench = Bench(test, lambda: load_data("digits", split="train", limit=64), epochs=1)
    >>> found = run_jsma(bench, JsmaSettings(temperatures=(20.0,), repeats=1))
    >>> found.toy["JSMA-Z"], found.toy["JSMA-Z, two classes"]
    (nan, 8.0)
    """
    todo = [(t, seed) for seed in seeds_of(bench, settings.repeats) for t in settings.temperatures]
    targets = random_classes(bench.labels, len(bench.test.classes), bench.seed)
    cases: list[JsmaCase] = []
    logits: list[LogitCase] = []
    first: dict[float, nn.Module] = {}
    for t, seed in counted(todo, "distillations"):
        net = distil(bench, t, settings.learning_rate, seed).student
        first.setdefault(t, net)
        right = predictions(net, bench.images)[0] == bench.labels
        x, y, goals = bench.images[right], bench.labels[right], targets[right]
        most = max(2, int(settings.max_changed * bench.images[0].numel()))
        for variant in JSMA_VARIANTS:
            reached = jsma_reaches(variant, net, x, y, goals)
            within = float(reached.within(most).double().mean())
            beyond = float(reached.success.double().mean()) - within
            changed = float(reached.changed.nanmean())
            cases.append(JsmaCase(t, seed, variant, len(x), within, beyond, changed))
        z = logits_of(net, x)
        refused = float(outvoted(net, x, goals).nanmean())
        logits.append(LogitCase(t, seed, float(vanished(z).mean()), refused, *nudges_of(z)))
    return JsmaFindings(toy_outcomes(), tuple(cases), tuple(logits), _examples(bench, first))


def _examples(bench: Bench, networks: Mapping[float, nn.Module]) -> dict[float, Tensor]:
    found = {t: logits_of(net, bench.images) for t, net in networks.items()}
    right = torch.stack([z.argmax(1) == bench.labels.cpu() for z in found.values()]).all(0)
    i = int(right.int().argmax())
    return {t: z[i] for t, z in found.items()}
