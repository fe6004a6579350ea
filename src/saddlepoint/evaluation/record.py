"""Evaluation: the record of what an evaluation found, per image and in sum, and its files."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int64
from numpy.typing import NDArray

from saddlepoint.attacks.core.pilot import Pilot
from saddlepoint.errors import InputError
from saddlepoint.evaluation.breakdown import (
    AttackShare,
    Budget,
    ClassShare,
    by_attack,
    confusion,
    per_class,
)
from saddlepoint.evaluation.common_budgets import level_of, listed
from saddlepoint.evaluation.curve import Curve, curve_of
from saddlepoint.evaluation.decision import Decision
from saddlepoint.evaluation.left import Left, attacks_left, left_note
from saddlepoint.evaluation.statistics import Proportion
from saddlepoint.evaluation.tables import (
    attack_table,
    budget_table,
    class_table,
    decision_table,
)
from saddlepoint.evaluation.verdict.finding import NOT_EXAMINED, Verdict
from saddlepoint.files import write, write_json
from saddlepoint.reading import decoding, read_json
from saddlepoint.reading.tables import read_table
from saddlepoint.tables import Shown, Table
from saddlepoint.threat import format_eps, parse_eps

RECORD_FILE, IMAGES_FILE, ATTEMPTS_FILE = "evaluation.json", "images.parquet", "attempts.parquet"


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation(Shown):
    """The result of `evaluate`; prints as a table.

    Attributes:
        config: everything that determined it, as JSON values.
        clean: clean accuracy.
        budgets: one entry per budget, ascending.
        images: a row per image and budget: the worst case (label, predictions, by which attack and
            at which budget it was fooled, null where it stands, distance).
        attempts: a row per image, budget and attack that was run on it; one that is run once for all
            budgets has a row per image, and no eps.
        seconds: wall time, over all resumptions.
        notes: what a reader must know to trust the numbers.
        classes: the names of the classes; empty where they are their numbers.
        verdict: what the checks found; None where they were not run, and the number is not to be
            trusted.
        pilot: what the first images told, which the attacks were given; None where nobody looked.
        left: what there is to do where the time was up, or a question answered: of attacks, so that
            every robust accuracy is an upper bound, or of the checks, so that there is no verdict.
        decision: the answer to the question that it was made for.

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
    classes: tuple[str, ...] = ()
    verdict: Verdict | None = None
    pilot: Pilot | None = None
    left: tuple[Left, ...] = ()
    decision: Decision | None = None

    def by_attack(self) -> tuple[AttackShare, ...]:
        """Return which attack fooled how many at each budget, and the robust accuracy after it."""
        return by_attack(self.clean, self.budgets, self.attempts)

    def per_class(self) -> tuple[ClassShare, ...]:
        """Return clean and robust accuracy of every class, and the classes that it becomes."""
        return per_class(self.images, self.clean.total, len(self.budgets), self.classes)

    def confusion(self, eps: float | str | None = None) -> Int64[NDArray[np.int64], "k k"]:
        """Return how many images of class i (row) are taken for class j (column); an image for which
        the model returns NaN or +∞ is taken for none, and in no column.

        Args:
            eps: one of the budgets; None is the largest, 0 before any attack.

        Raises `InputError` for a budget that was not evaluated.
        """
        known = [budget.eps for budget in self.budgets]
        wanted = known[-1] if eps is None else parse_eps(eps)
        level = len(known) - 1 if eps is None else level_of(wanted, known)
        if level is None and wanted != 0:
            raise InputError(
                f"{format_eps(wanted)} was not evaluated; the budgets are {listed(known)}"
            )
        rows = self.images.slice((level or 0) * self.clean.total, self.clean.total)
        return confusion(rows, "clean_prediction" if level is None else "prediction")

    def curve(self) -> Curve:
        """Return robust accuracy at every budget, by the distances that were found.

        Raises `InputError` where no attack looked for distances, or not at all images yet.
        """
        if attacks_left(self.left):
            raise InputError(
                f"the evaluation is not finished ({left_note(self.left)}); the same call goes on"
            )
        return curve_of(self.clean, self.attempts)

    @property
    def told(self) -> str:
        """The verdict in one line, or that there is none."""
        if self.left:
            return left_note(self.left, self.decision)
        return NOT_EXAMINED if self.verdict is None else self.verdict.sentence

    def budget_table(self) -> Table:
        """Return a row per budget, as `print` shows it; of the images seen alone where a question was
        asked of them.
        """
        partial = attacks_left(self.left)
        if partial and self.decision is not None:
            return decision_table(self.clean, self.budgets[0], self.decision, self.notes, self.told)
        table = budget_table(self.clean, self.budgets, self.notes, partial=partial)
        if self.verdict is None or self.left:
            table = replace(table, title=f"{self._of_verdict}{self.told}; {table.title}")
        if self.decision is not None:
            table = replace(table, title=f"{self.decision}; {table.title}")
        return table

    @property
    def _of_verdict(self) -> str:
        return "" if self.left else "verdict: "

    def attack_table(self) -> Table:
        """Return a row per budget and attack."""
        return attack_table(self.by_attack(), partial=attacks_left(self.left))

    def class_table(self) -> Table:
        """Return a row per class."""
        eps = [budget.eps for budget in self.budgets]
        return class_table(self.per_class(), eps, self.classes)

    def tables(self) -> tuple[Table, ...]:
        """Return the tables that an evaluation prints as."""
        verdict = () if self.verdict is None else self.verdict.tables()
        if self.decision is not None and attacks_left(self.left):
            return (self.budget_table(),)
        return *verdict, self.budget_table(), self.attack_table()

    def json(self) -> dict[str, Any]:
        """Return the summary as JSON values.

        >>> Evaluation({}, Proportion(9, 10), (), pa.table({}), pa.table({}), 1.0, ()).json()["seconds"]
        1.0
        """
        return {
            **({} if self.verdict is None else {"verdict": self.verdict.json()}),
            "config": self.config,
            **({} if self.pilot is None else {"pilot": self.pilot.json()}),
            "clean_accuracy": self.clean.json(),
            "budgets": [
                {
                    "eps": None if math.isnan(budget.eps) else budget.eps,
                    "robust_accuracy": budget.robust_accuracy.json(),
                    **({"upper_bound": True} if attacks_left(self.left) else {}),
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
            **({"left": [each.json() for each in self.left]} if self.left else {}),
            **({} if self.decision is None else {"until": self.decision.json()}),
            **({"classes": list(self.classes)} if self.classes else {}),
        }

    def save(self, out: Path | str) -> None:
        """Write `images.parquet`, `attempts.parquet` and, last, `evaluation.json` under `out`."""
        out = Path(out)
        write(out / IMAGES_FILE, parquet_bytes(self.images))
        write(out / ATTEMPTS_FILE, parquet_bytes(self.attempts))
        write_json(out / RECORD_FILE, self.json())

    @classmethod
    def load(cls, out: Path | str) -> Evaluation:
        """Read what `save` wrote; raises `InputError` where it is missing or damaged."""
        out = Path(out)
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
                classes=tuple(str(name) for name in record.get("classes", ())),
                verdict=Verdict.of_json(record["verdict"]) if "verdict" in record else None,
                pilot=Pilot.of_json(record["pilot"]) if "pilot" in record else None,
                left=tuple(map(Left.of_json, record.get("left", ()))),
                decision=Decision.of_json(record["until"]) if "until" in record else None,
            )


def is_finished(out: Path) -> bool:
    """Return whether a folder holds the record of an evaluation that has nothing left to do.

    >>> is_finished(Path("no-such-folder"))
    False
    """
    path = out / RECORD_FILE
    if not path.exists():
        return False
    record = read_json(path)
    return not (isinstance(record, dict) and record.get("left"))


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
