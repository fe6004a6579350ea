"""Evaluation: the record of what an evaluation found, per image and in sum, and its files."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from saddlepoint.errors import InputError
from saddlepoint.evaluation.statistics import Proportion
from saddlepoint.files import read_json, reason, write, write_json

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
        try:
            return cls(
                config=record["config"],
                clean=proportion_of(record["clean_accuracy"]),
                budgets=tuple(
                    Budget(
                        math.nan if budget["eps"] is None else budget["eps"],
                        proportion_of(budget["robust_accuracy"]),
                        proportion_of(budget["attack_success_rate"]),
                        budget["forwards_per_image"],
                        budget["backwards_per_image"],
                        budget["fooled_by"],
                        budget["attacked"],
                    )
                    for budget in record["budgets"]
                ),
                images=read_table(out / IMAGES_FILE),
                attempts=read_table(out / ATTEMPTS_FILE),
                seconds=record["seconds"],
                notes=tuple(record["notes"]),
            )
        except (KeyError, TypeError) as error:
            raise InputError(f"{out / RECORD_FILE} is not an evaluation ({error})") from error


def parquet_bytes(table: pa.Table) -> bytes:
    """Return a table as the bytes of a Parquet file.

    >>> parquet_bytes(pa.table({"id": [1]}))[:4]
    b'PAR1'
    """
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def read_table(path: Path) -> pa.Table:
    """Return the table in a Parquet file; raises `InputError` where it is missing or damaged.

    >>> read_table(Path("no-such.parquet"))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: cannot read no-such.parquet: no such file
    """
    try:
        return pq.read_table(path)
    except OSError as error:
        missing = "no such file" if isinstance(error, FileNotFoundError) else reason(error)
        raise InputError(f"cannot read {path}: {missing}") from error
    except pa.ArrowException as error:
        raise InputError(f"{path} is damaged: {error}") from error


def proportion_of(values: dict[str, Any]) -> Proportion:
    """Return the proportion that `Proportion.json` described.

    >>> proportion_of(Proportion(1, 2).json())
    Proportion(count=1, total=2)
    """
    return Proportion(values["count"], values["total"])
