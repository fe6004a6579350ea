"""The files that torchattacks' `save` writes and its `load` reads: images in them are pixels."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from saddlepoint.attacks import AttackResult
from saddlepoint.checks import as_pixels
from saddlepoint.errors import InputError
from saddlepoint.evaluation.saved_images import read_arrays
from saddlepoint.files import write
from saddlepoint.model import Normalised
from saddlepoint.reading import shown


def levels(pixels: Float[Tensor, "n ..."]) -> UInt8[Tensor, "n ..."]:
    """Return images in [0, 1] as 8-bit ones, 0 … 255.

    >>> levels(torch.tensor([[0.0, 1.0]]))
    tensor([[  0, 255]], dtype=torch.uint8)
    """
    return (pixels * 255).round().to(torch.uint8)


@dataclass(eq=False)
class Saving:
    """What is to be saved, batch by batch, and what is told of it.

    Args:
        kind: how images are saved: "float", in [0, 1], or "int", 8-bit.
    """

    kind: str
    _batches: list[dict[str, Tensor]] = field(default_factory=list)
    _far: list[Tensor] = field(default_factory=list)
    _right: int = 0
    _total: int = 0
    _began: float = field(default_factory=time.perf_counter)

    def add(
        self,
        clean: Float[Tensor, "n ..."],
        offered: Float[Tensor, "n ..."],
        labels: Int64[Tensor, " n"],
        result: AttackResult,
    ) -> None:
        """Keep a batch: clean pixels, the adversarial pixels to be saved, and what was found."""
        standing = result.predictions == labels.to(result.predictions.device)
        self._right, self._total = self._right + int(standing.sum()), self._total + len(labels)
        distance = (result.adversarials - clean).double().flatten(1).norm(dim=1)
        self._far.append(distance[~standing].cpu())
        if self.kind == "int":
            clean, offered = levels(clean), levels(offered)
        columns = {
            "adv_inputs": offered,
            "labels": labels,
            "preds": result.predictions,
            "clean_inputs": clean,
        }
        self._batches.append({name: value.detach().cpu() for name, value in columns.items()})

    def told(self) -> tuple[float, float, float]:
        """Return the robust accuracy in per cent, the mean L2 distance of what fooled, in pixels,
        and the seconds so far.
        """
        share, far = 100 * self._right / self._total, float(torch.cat(self._far).mean())
        return share, far, time.perf_counter() - self._began

    def write(self, path: Path | str, names: Sequence[str]) -> None:
        """Write the columns `names` of all batches, and `save_type`, the kind."""
        whole: dict[str, Any] = {
            name: torch.cat([b[name] for b in self._batches]) for name in names
        }
        buffer = io.BytesIO()
        torch.save({**whole, "save_type": self.kind}, buffer)
        write(Path(path), buffer.getvalue())


def read_saved(
    path: Path | str,
    names: Sequence[str],
    normalize: Mapping[str, Sequence[float]] | None,
    batch_size: int,
    shuffle: bool,
) -> DataLoader[tuple[Tensor, ...]]:
    """Return the columns `names` of a file as a loader, 8-bit images in [0, 1], without running
    code from it; `normalize` has mean and std, for images as a model without normalisation inside
    takes them.
    """
    found = read_arrays(Path(path), "a file that save wrote")
    missing = [name for name in names if name not in found]
    if missing:
        raise InputError(f"{shown(path)} has no {', '.join(missing)}; it was not saved")
    columns = []
    for name in names:
        column = as_pixels(found[name]) if name.endswith("inputs") else found[name]
        if normalize is not None and name.endswith("inputs"):
            column = Normalised(nn.Identity(), normalize["mean"], normalize["std"])(column)
        columns.append(column)
    return DataLoader(TensorDataset(*columns), batch_size=batch_size, shuffle=shuffle)
