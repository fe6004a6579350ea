"""How much of an image should be hidden? Pre-training by ratio, then few labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from saddlepoint.lab.bench import Bench
from saddlepoint.lab.pretraining import (
    METHODS,
    PretrainingSettings,
    labelled,
    pretraining,
    tuned,
    untrained,
)
from saddlepoint.lab.spread import spread_tables
from saddlepoint.lab.table import Table
from saddlepoint.objectives import MAE
from saddlepoint.option_values import Fraction, Share
from saddlepoint.progress import Course
from saddlepoint.streams import derive
from saddlepoint.training import accuracy, train

SCRATCH = "none"
"""What stands in place of a ratio where nothing was pre-trained."""


@dataclass(frozen=True)
class LabelSettings(PretrainingSettings):
    """Settings of `run_mae_labels`.

    Args:
        ratios: of patches that are hidden in pre-training.
        shares: of the training images whose labels are known.

    >>> LabelSettings().ratios
    (0.25, 0.5, 0.75, 0.9)
    """

    ratios: tuple[Fraction, ...] = (0.25, 0.5, 0.75, 0.9)
    shares: tuple[Share, ...] = (0.01, 0.1)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._sort("ratios")
        self._sort("shares")


@dataclass(frozen=True)
class Learned:
    """The accuracy of one classifier.

    Attributes:
        ratio: of the pre-training, or "none".
        method: "fine-tuning" or "linear probe".
        share: of the labels.
        seed, rate, accuracy: of it.
    """

    ratio: str
    method: str
    share: float
    seed: int
    rate: float
    accuracy: float


@dataclass(frozen=True)
class Labels:
    """What was found.

    >>> Labels((Learned("0.75", "fine-tuning", 0.1, 1, 0.001, 0.9),)).tables()["summary"].rows
    (('0.75', 'fine-tuning', 0.1, 0.9),)
    """

    learned: tuple[Learned, ...]

    def of(self, method: str, share: float) -> dict[str, list[float]]:
        """Return the accuracies of the seeds by ratio."""
        found: dict[str, list[float]] = {}
        for each in self.learned:
            if (each.method, each.share) == (method, share):
                found.setdefault(each.ratio, []).append(each.accuracy)
        return found

    @property
    def shares(self) -> tuple[float, ...]:
        """The shares, in their order."""
        return tuple(dict.fromkeys(each.share for each in self.learned))

    def tables(self) -> Mapping[str, Table]:
        """Return means over seeds, their spread, and every classifier."""
        rows = [
            ((ratio, method, share), [values])
            for share in self.shares
            for method in METHODS
            for ratio, values in self.of(method, share).items()
        ]
        every = tuple(
            (e.ratio, e.method, e.share, e.seed, e.rate, e.accuracy) for e in self.learned
        )
        columns = ("ratio", "method", "share", "seed", "rate", "accuracy")
        return {
            **spread_tables(("ratio", "method", "labels"), ("accuracy",), rows),
            "classifiers": Table(columns, every),
        }


def run_mae_labels(bench: Bench, settings: LabelSettings) -> Labels:
    """Pre-train without labels at every ratio, then fine-tune, and probe, with few labels; the same
    from an untrained encoder. He et al. 2022, arXiv:2111.06377, figure 5.

    >>> from saddlepoint.data import load_data
    >>> test, train = (load_data("digits", split=s, limit=60) for s in ("test", "train"))
    >>> settings = LabelSettings(2, 1, "none", 1, rates=(0.001,), ratios=(0.75,), shares=(0.5,))
    >>> found = run_mae_labels(Bench(test, lambda: train, epochs=1), settings)
    >>> [(each.ratio, each.method) for each in found.learned][:2]
    [('none', 'fine-tuning'), ('none', 'linear probe')]
    """
    starts = (None, *settings.ratios)
    course = Course(bench.progress, settings.seeds * len(starts))
    found: list[Learned] = []
    for i in range(settings.seeds):
        for ratio in starts:
            name = f"seed {i + 1}, ratio {SCRATCH if ratio is None else ratio}"
            told = course.next(name)
            rows = bench.part(name, partial(_one, bench, settings, ratio, i, told))
            found += [Learned(**row) for row in rows]
    return Labels(tuple(found))


def _one(
    bench: Bench, settings: LabelSettings, ratio: float | None, number: int, progress: Any
) -> list[dict[str, Any]]:
    seed, count = derive(bench.seed, "repetition", number), len(settings.shares) * len(METHODS)
    course = Course(progress, count + (ratio is not None))
    model = untrained(bench, settings, seed)
    if ratio is not None:
        recipe = pretraining(bench, settings, MAE(ratio))
        told = course.next("pre-training")
        model = train(model, bench.train, recipe, seed=seed, progress=told).model
    rows = []
    for share in settings.shares:
        data = labelled(bench.train, share, seed)
        for method in METHODS:
            told = course.next(f"{method}, {len(data)} labels")
            ready, rate = tuned(
                model, data, settings, method, fresh=ratio is None, seed=seed, progress=told
            )
            rows.append(
                {"ratio": SCRATCH if ratio is None else f"{ratio:g}", "method": method,
                 "share": share, "seed": number + 1, "rate": rate,
                 "accuracy": accuracy(ready, bench.test)}
            )  # fmt: skip
    return rows
