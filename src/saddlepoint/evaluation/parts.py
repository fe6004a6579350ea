"""Work in parts, each saved when it is done: an interruption loses the part in progress and no
more.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from saddlepoint.errors import InputError
from saddlepoint.files import write
from saddlepoint.reading.tensors import read_safetensors

FOLDER = "parts"
# A part is attacked, saved and never looked at again; survivors are re-batched within it.
SIZE = 512
Columns = dict[str, Tensor]
"""One tensor per column; the first axis is the row."""


def in_parts(ids: Tensor, work: Callable[[Tensor], Columns], out: Path | None) -> Columns:
    """Return the columns that `work` gives for 512 ids at a time, joined; parts found under `out`
    are read.

    The size is fixed, so that a run may go on with another batch size.

    >>> in_parts(torch.arange(3), lambda ids: {"square": ids**2}, None)
    {'square': tensor([0, 1, 4])}
    """
    results = []
    for number, piece in enumerate(torch.split(ids, SIZE)):
        path = None if out is None else out / FOLDER / f"{number:06d}.safetensors"
        result = None if path is None else _read(path)
        if result is None:
            result = {name: value.detach().cpu() for name, value in work(piece).items()}
            if path is not None:
                write(path, safetensors.torch.save({k: v.contiguous() for k, v in result.items()}))
        results.append(result)
    return joined(results)


def joined(results: Sequence[Columns]) -> Columns:
    """Return columns one below the other.

    >>> joined([{"id": torch.tensor([1])}, {"id": torch.tensor([2])}])
    {'id': tensor([1, 2])}
    """
    return {name: torch.cat([result[name] for result in results]) for name in results[0]}


def forget_parts(out: Path) -> None:
    """Remove the parts, once the whole is written.

    >>> forget_parts(Path("no-such-folder"))
    """
    shutil.rmtree(out / FOLDER, ignore_errors=True)


def _read(path: Path) -> Columns | None:
    try:
        return read_safetensors(path)
    except InputError:  # absent, or damaged from outside: it is computed again
        return None
