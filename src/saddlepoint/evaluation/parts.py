"""Work in parts, each saved when it is done: an interruption loses the part in progress and no
more.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from saddlepoint.files import write

FOLDER = "parts"
Columns = dict[str, Tensor]
"""One tensor per column; the first axis is the row."""


def in_parts(
    pieces: Sequence[Tensor], work: Callable[[Tensor], Columns], out: Path | None
) -> Columns:
    """Return the columns that `work` gives for each piece, joined; pieces found under `out` are
    read.

    >>> in_parts([torch.arange(2), torch.arange(2, 3)], lambda ids: {"square": ids**2}, None)
    {'square': tensor([0, 1, 4])}
    """
    results = []
    for number, piece in enumerate(pieces):
        path = None if out is None else out / FOLDER / f"{number:06d}.safetensors"
        result = None if path is None else _read(path)
        if result is None:
            result = {name: value.detach().cpu() for name, value in work(piece).items()}
            if path is not None:
                write(path, safetensors.torch.save({k: v.contiguous() for k, v in result.items()}))
        results.append(result)
    return {name: torch.cat([result[name] for result in results]) for name in results[0]}


def forget_parts(out: Path) -> None:
    """Remove the parts, once the whole is written.

    >>> forget_parts(Path("no-such-folder"))
    """
    shutil.rmtree(out / FOLDER, ignore_errors=True)


def _read(path: Path) -> Columns | None:
    try:
        columns: Columns = safetensors.torch.load_file(path)
        return columns
    except (OSError, SafetensorError):  # absent, or damaged from outside: it is computed again
        return None
