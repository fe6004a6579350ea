"""Evaluation: the record of what an evaluation found, per image and in sum, and its files."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from saddlepoint.evaluation.statistics import Proportion
from saddlepoint.files import write, write_json
from saddlepoint.reading import decoding, read_json
from saddlepoint.reading.tables import read_table

RECORD_FILE, IMAGES_FILE, ATTEMPTS_FILE = "evaluation.json", "images.parquet", "attempts.parquet"


@dataclass(frozen=True)
class Budget:
    """What was found at one budget.

    Attributes:
        eps: the budget, in the units of the threat model; NaN (null in JSON) where it has none.
        robust_accuracy: the share of all images that no attack of the suite fooled at this budget
            or below it.
        success: of the images that were right before, the share that was fooled.
        forwards, backwards: passes per image of the whole set, spent at this budget.
        fooled_by: attack → images that it was the first to fool.
        attacked: attack → images that were still standing when its turn came.

    >>> Budget(0.1, Proportion(6, 10), Proportion(3, 9), 12.0, 10.0, {"fgsm": 3}, {"fgsm": 9}).eps
    0.1
    """

    eps: float
    robust_accuracy: Proportion
    success: Proportion
    forwards: float
    backwards: float
    fooled_by: dict[str, int]
    attacked: dict[str, int]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The result of `evaluate`.

    Attributes:
        config: everything that determined it, as JSON values.
        clean: clean accuracy.
        budgets: one entry per budget, ascending.
        images: a row per image and budget: the worst case (label, predictions, by which attack and
            at which budget it was fooled, null where it stands, distance).
        attempts: a row per image, budget and attack that was run on it.
        seconds: wall time, over all resumptions.
        notes: what a reader must know to trust the numbers.

    >>> Evaluation({}, Proportion(9, 10), (), pa.table({}), pa.table({}), 1.0, ()).clean.count
    9
    """

    config: dict[str, Any]
    clean: Proportion
    budgets: tuple[Budget, ...]
    images: pa.Table
    attempts: pa.Table
    seconds: float
    notes: tuple[str, ...]

    def json(self) -> dict[str, Any]:
        """Return the summary as JSON values.

        >>> Evaluation({}, Proportion(9, 10), (), pa.table({}), pa.table({}), 1.0, ()).json()["seconds"]
        1.0
        """
        return {
            "config": self.config,
            "clean_accuracy": self.clean.json(),
            "budgets": [
                {
                    "eps": None if math.isnan(budget.eps) else budget.eps,
                    "robust_accuracy": budget.robust_accuracy.json(),
                    "attack_success_rate": budget.success.json(),
                    "forwards_per_image": budget.forwards,
                    "backwards_per_image": budget.backwards,
                    "fooled_by": budget.fooled_by,
                    "attacked": budget.attacked,
                }
                for budget in self.budgets
            ],
            "seconds": self.seconds,
            "notes": list(self.notes),
        }

    def save(self, out: Path) -> None:
        """Write `images.parquet`, `attempts.parquet` and, last, `evaluation.json` under `out`."""
        write(out / IMAGES_FILE, parquet_bytes(self.images))
        write(out / ATTEMPTS_FILE, parquet_bytes(self.attempts))
        write_json(out / RECORD_FILE, self.json())

    @classmethod
    def load(cls, out: Path) -> Evaluation:
        """Read what `save` wrote; raises `InputError` where it is missing or damaged."""
        record = read_json(out / RECORD_FILE)
        with decoding(out / RECORD_FILE, "an evaluation"):
            return cls(
                config=dict(record["config"]),
                clean=proportion_of(record["clean_accuracy"]),
                budgets=tuple(_budget(each) for each in record["budgets"]),
                images=read_table(out / IMAGES_FILE),
                attempts=read_table(out / ATTEMPTS_FILE),
                seconds=float(record["seconds"]),
                notes=tuple(str(line) for line in record["notes"]),
            )


def parquet_bytes(table: pa.Table) -> bytes:
    """Return a table as the bytes of a Parquet file.

    >>> parquet_bytes(pa.table({"id": [1]}))[:4]
    b'PAR1'
    """
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def proportion_of(values: dict[str, Any]) -> Proportion:
    """Return the proportion that `Proportion.json` described; raises `ValueError` for no such one.

    >>> proportion_of(Proportion(1, 2).json())
    Proportion(count=1, total=2)
    """
    count, total = values["count"], values["total"]
    if not (type(count) is type(total) is int and 0 <= count <= total):
        raise ValueError(f"{count!r} of {total!r} is no share")
    return Proportion(count, total)


def _budget(values: dict[str, Any]) -> Budget:
    return Budget(
        math.nan if values["eps"] is None else float(values["eps"]),
        proportion_of(values["robust_accuracy"]),
        proportion_of(values["attack_success_rate"]),
        float(values["forwards_per_image"]),
        float(values["backwards_per_image"]),
        *({str(k): int(v) for k, v in values[key].items()} for key in ("fooled_by", "attacked")),
    )
