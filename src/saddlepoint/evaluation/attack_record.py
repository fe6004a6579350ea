"""AttackRecord: what one attack did to a data set, and its files."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from saddlepoint.attacks import AttackResult
from saddlepoint.attacks.core.result import TENSORS
from saddlepoint.evaluation.notes import inputs_of
from saddlepoint.evaluation.record import IMAGES_FILE, parquet_bytes, proportion_of
from saddlepoint.evaluation.statistics import Proportion
from saddlepoint.evaluation.tables import passes_text
from saddlepoint.files import write, write_json
from saddlepoint.reading import decoding, read_json
from saddlepoint.reading.arrays import read_archive
from saddlepoint.reading.tables import read_table
from saddlepoint.tables import Shown, Table

RECORD_FILE, TENSORS_FILE = "attack.json", "adversarials.npz"


@dataclass(frozen=True, eq=False, repr=False)
class AttackRecord(Shown):
    """What one attack did to a data set; prints as a table.

    Attributes:
        config: everything that determined it, as JSON values.
        ids, labels: (n,) which images were attacked, and their classes.
        result: the judged result, in the same order.
        eight_bit: attack success before and after rounding to 8 bits, where PNG files were written.
        seconds: wall time, over all resumptions.
        notes: what a reader must know to trust the numbers.

    >>> from saddlepoint.attacks import FGSM
    >>> from saddlepoint.threat import Linf
    >>> x, y = torch.tensor([[0.5, 0.4], [0.9, 0.1]]), torch.tensor([0, 0])
    >>> result = FGSM(Linf(0.1))(torch.nn.Flatten(), x, y)
    >>> str(AttackRecord({}, torch.arange(2), y, result, None, 1.0).success)
    '50.0 % [9.5, 90.5]'
    """

    config: dict[str, Any]
    ids: Tensor
    labels: Tensor
    result: AttackResult
    eight_bit: tuple[Proportion, Proportion] | None
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def clean(self) -> Proportion:
        """The share that the criterion did not hold for before the attack; untargeted, the clean
        accuracy.
        """
        return Proportion(int((~self.result.initially_wrong).sum()), len(self.ids))

    @property
    def robust_accuracy(self) -> Proportion:
        """The share that the criterion does not hold for under attack."""
        return Proportion(int((~self.result.success).sum()), len(self.ids))

    @property
    def success(self) -> Proportion:
        """Of the images that were right before, the share that was fooled."""
        attacked = ~self.result.initially_wrong
        return Proportion(int((self.result.success & attacked).sum()), int(attacked.sum()))

    @property
    def mean_distance(self) -> float | None:
        """The mean distance of the fooling images, in the units of the budget; None where there are
        none.
        """
        hits = self.result.success & ~self.result.initially_wrong
        return float(self.result.distance[hits].mean()) if bool(hits.any()) else None

    @property
    def forwards(self) -> float:
        """Forward passes per image."""
        return float(self.result.forwards.double().mean())

    @property
    def backwards(self) -> float:
        """Backward passes per image."""
        return float(self.result.backwards.double().mean())

    @property
    def title(self) -> str:
        """A line that says what was run."""
        name, threat = self.config["attack"]["type"], self.config["threat"]
        inputs = inputs_of(str(self.config.get("space", "")))
        return f"{name}, {threat}, {len(self.ids):,} {inputs} of {self.config['data']['name']}"

    def tables(self) -> tuple[Table, ...]:
        """Return the table that the record prints as."""
        columns = (
            "clean accuracy",
            "accuracy under attack",
            "attack success",
            "mean distance",
            "passes per image",
        )
        row = (
            str(self.clean),
            str(self.robust_accuracy),
            str(self.success),
            "–" if self.mean_distance is None else f"{self.mean_distance:.4g}",
            passes_text(self.forwards, self.backwards),
        )
        return (Table(self.title, columns, [row], self.notes),)

    def json(self) -> dict[str, Any]:
        """Return the summary as JSON values."""
        rounded = None
        if self.eight_bit is not None:
            rounded = {"before": self.eight_bit[0].json(), "after": self.eight_bit[1].json()}
        return {
            "config": self.config,
            "clean_accuracy": self.clean.json(),
            "robust_accuracy": self.robust_accuracy.json(),
            "attack_success_rate": self.success.json(),
            "mean_distance": self.mean_distance,
            "forwards_per_image": self.forwards,
            "backwards_per_image": self.backwards,
            "eight_bit_success": rounded,
            "seconds": self.seconds,
            "notes": list(self.notes),
        }

    def table(self) -> pa.Table:
        """Return a row per image."""
        names = [name for name in TENSORS if name != "adversarials"]
        columns = {name: getattr(self.result, name).numpy() for name in names}
        return pa.table({"id": self.ids.numpy(), "label": self.labels.numpy(), **columns})

    def save(self, out: Path | str) -> None:
        """Write `adversarials.npz`, `images.parquet` and, last, `attack.json` under `out`."""
        out = Path(out)
        buffer = io.BytesIO()
        np.savez(
            buffer,
            adversarials=self.result.adversarials.numpy(),
            labels=self.labels.numpy(),
            ids=self.ids.numpy(),
            success=self.result.success.numpy(),
        )
        write(out / TENSORS_FILE, buffer.getvalue())
        write(out / IMAGES_FILE, parquet_bytes(self.table()))
        write_json(out / RECORD_FILE, self.json())

    @classmethod
    def load(cls, out: Path | str) -> AttackRecord:
        """Read what `save` wrote; raises `InputError` where it is missing or damaged."""
        out = Path(out)
        record = read_json(out / RECORD_FILE)
        table = read_table(out / IMAGES_FILE)
        arrays = read_archive(out / TENSORS_FILE, ["adversarials"])
        with decoding(out, "a whole attack record"):
            adversarials = torch.from_numpy(arrays["adversarials"])
            if len(adversarials) != len(table):
                raise ValueError(f"{len(adversarials)} images for {len(table)} rows")
            columns = {
                name: torch.from_numpy(table[name].to_numpy().copy()) for name in table.column_names
            }
            # Records from before ties were counted have none.
            columns.setdefault("tied", torch.zeros(len(table), dtype=torch.bool))
            rounded = record["eight_bit_success"]
            return cls(
                config=dict(record["config"]),
                ids=columns.pop("id"),
                labels=columns.pop("label"),
                result=AttackResult(
                    adversarials=adversarials, **columns, space=record["config"]["space"]
                ),
                eight_bit=rounded
                and (proportion_of(rounded["before"]), proportion_of(rounded["after"])),
                seconds=float(record["seconds"]),
                notes=tuple(str(line) for line in record["notes"]),
            )
