"""One attack over a data set, in parts, with its images kept."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from saddlepoint.attacks import Attack, AttackResult
from saddlepoint.data import ImageData
from saddlepoint.describe import describe
from saddlepoint.errors import InputError
from saddlepoint.evaluation.export import export_png
from saddlepoint.evaluation.parts import FOLDER, Columns, forget_parts, in_parts
from saddlepoint.evaluation.record import IMAGES_FILE, parquet_bytes
from saddlepoint.evaluation.statistics import Proportion
from saddlepoint.files import write, write_json
from saddlepoint.model import Guard
from saddlepoint.runs import claim
from saddlepoint.zoo import weights_fingerprint

RECORD_FILE, TENSORS_FILE, PICTURES = "attack.json", "adversarials.npz", "png"
_FIELDS = tuple(f.name for f in fields(AttackResult) if f.name != "space")


@dataclass(frozen=True, eq=False)
class AttackRecord:
    """What one attack did to a data set.

    Attributes:
        config: everything that determined it, as JSON values.
        ids, labels: (n,) which images were attacked, and their classes.
        result: the judged result, in the same order.
        eight_bit: attack success before and after rounding to 8 bits, where PNG files were written.
        seconds: wall time, over all resumptions.

    >>> AttackRecord.__name__
    'AttackRecord'
    """

    config: dict[str, Any]
    ids: Tensor
    labels: Tensor
    result: AttackResult
    eight_bit: tuple[Proportion, Proportion] | None
    seconds: float

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
        return f"{name}, {threat}, {len(self.ids):,} images of {self.config['data']['name']}"

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
        }

    def table(self) -> pa.Table:
        """Return a row per image."""
        names = [name for name in _FIELDS if name != "adversarials"]
        columns = {name: getattr(self.result, name).numpy() for name in names}
        return pa.table({"id": self.ids.numpy(), "label": self.labels.numpy(), **columns})

    def save(self, out: Path) -> None:
        """Write `adversarials.npz`, `images.parquet` and, last, `attack.json` under `out`."""
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


def run_attack(
    model: nn.Module,
    data: ImageData,
    attack: Attack,
    *,
    target: int | None = None,
    out: Path | None = None,
    png: bool = False,
    batch_size: int = 128,
    seed: int = 0,
    identity: Any = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> AttackRecord:
    """Run `attack` on every image of `data`; an interrupted run goes on in the same folder.

    Args:
        model: from images in [0, 1] to logits.
        data: the images; an image's index is its identity.
        target: attack towards this class; images of the class itself are left out.
        out: a folder for the record, the images and the parts.
        png: also write 8-bit PNG files under OUT/png and judge them.
        batch_size, seed: of the passes, of the random draws.
        identity: what else distinguishes the run, for the folder.
        progress: called with (images done, in all, what).

    >>> from saddlepoint.attacks import FGSM
    >>> from saddlepoint.data import load_data
    >>> from saddlepoint.threat import Linf
    >>> from saddlepoint.zoo import build_model
    >>> data = load_data("digits", limit=20)
    >>> net = build_model("simple-cnn", classes=10, shape=data.shape)
    >>> run_attack(net, data, FGSM(Linf(0.1))).clean.total
    20
    """
    Guard(model, 0)  # refuses what is no module
    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}; give at least 1")
    if png and out is None:
        raise InputError("png needs a folder; give out")
    labels = data.labels.cpu()
    ids = torch.arange(len(data))
    if target is not None:
        if not 0 <= target < len(data.classes):
            raise InputError(f"target is {target}; the classes are 0 … {len(data.classes) - 1}")
        ids = ids[labels != target]
    if not len(ids):
        raise InputError(f"{data.name} has no images to attack; give at least one")
    config = describe(
        {
            "model": weights_fingerprint(model),
            "identity": identity,
            "data": {"name": data.name, "split": data.split, "fingerprint": data.fingerprint},
            "attack": attack,
            "threat": str(attack.threat),
            "space": attack.threat.space,
            "target": target,
            "png": png,
            "seed": seed,
            "batch_size": batch_size,
        }
    )
    if out is not None:
        claim(out, "attack", config, (RECORD_FILE, TENSORS_FILE, IMAGES_FILE, PICTURES, FOLDER))

    def work(chunk: Tensor) -> Columns:
        began = time.perf_counter()
        images, goals = data.images(chunk), labels[chunk]
        targets = None if target is None else torch.full_like(goals, target)
        result = attack(model, images, goals, targets, seed=seed, ids=chunk)
        columns = {name: getattr(result, name) for name in _FIELDS}
        if png and out is not None:
            exported = export_png(
                model,
                images,
                goals,
                result,
                attack.threat,
                out / PICTURES,
                targets=targets,
                ids=chunk,
                seed=seed,
            )
            columns["eight_bit"] = exported.result.success
        if progress is not None:
            progress(int((ids <= chunk[-1]).sum()), len(ids), str(attack.threat))
        seconds = torch.tensor([time.perf_counter() - began], dtype=torch.float64)
        return {"ids": chunk, **columns, "seconds": seconds}

    columns = in_parts(torch.split(ids, batch_size), work, out)
    attacked = ~columns["initially_wrong"]
    total = int(attacked.sum())
    eight_bit = None
    if png:
        before, after = (
            Proportion(int((columns[name] & attacked).sum()), total)
            for name in ("success", "eight_bit")
        )
        eight_bit = (before, after)
    record = AttackRecord(
        config=config,
        ids=columns["ids"],
        labels=labels[columns["ids"]],
        result=AttackResult(**{name: columns[name] for name in _FIELDS}, space=attack.threat.space),
        eight_bit=eight_bit,
        seconds=float(columns["seconds"].sum()),
    )
    if out is not None:
        record.save(out)
        forget_parts(out)
    return record
