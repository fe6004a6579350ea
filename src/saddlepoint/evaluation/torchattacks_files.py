"""The files that torchattacks' `save` writes and its `load` reads."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from saddlepoint.checks import as_pixels
from saddlepoint.errors import InputError
from saddlepoint.evaluation.saved_images import read_arrays
from saddlepoint.files import write
from saddlepoint.model import Normalised
from saddlepoint.reading import shown


def write_saved(
    path: Path | str, batches: Sequence[Mapping[str, Tensor]], names: Sequence[str], kind: str
) -> None:
    """Write the columns `names` of all batches, with `save_type`, which is "int" or "float"."""
    whole: dict[str, Any] = {name: torch.cat([batch[name] for batch in batches]) for name in names}
    buffer = io.BytesIO()
    torch.save({**whole, "save_type": kind}, buffer)
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
