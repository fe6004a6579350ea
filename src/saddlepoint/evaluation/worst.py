"""The worst image of each, in files beside the record: what fooled, or what came nearest to it.

Each image is written at the budget at which it changes. So the worst one at a budget is the last that
was written at that budget or below, and where there is none the clean image.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from safetensors.torch import save
from torch import Tensor

from saddlepoint.errors import InputError
from saddlepoint.evaluation.part import Part
from saddlepoint.files import write
from saddlepoint.reading import shown
from saddlepoint.reading.tensors import read_safetensors

WORST = "worst"
"""The folder, in that of the record."""


@dataclass(eq=False)
class WorstFiles:
    """The files of an evaluation at work.

    Args:
        folder: where they are written.

    >>> WorstFiles(Path("runs/worst")).folder.name
    'worst'
    """

    folder: Path
    _rows: list[tuple[Tensor, Tensor, Tensor]] = field(default_factory=list)
    _number: int = 0

    def add(self, part: Part, eps: float) -> None:
        """Take the images of a part that are others than at the budget below."""
        assert part.pictures is not None
        some = part.pictures.changed()
        if bool(some.any()):
            budgets = torch.full((int(some.sum()),), eps, dtype=torch.float64)
            self._rows.append((part.ids[some], budgets, part.pictures.images[some]))

    def save(self) -> None:
        """Write what was taken since the last call."""
        if self._number == 0 and self.folder.exists():
            shutil.rmtree(self.folder)  # of a run whose time was up
        if self._rows:
            ids, eps, images = (torch.cat(each) for each in zip(*self._rows, strict=True))
            content = save({"id": ids, "eps": eps, "image": images.contiguous()})
            write(self.folder / f"{self._number:05d}.safetensors", content)
        self._number, self._rows = self._number + 1, []


@dataclass(frozen=True, eq=False)
class WorstImages:
    """The worst images of an evaluation.

    Attributes:
        ids: of the images, of which one has a row for each budget at which it changed.
        eps: the budget of each row.
        images: in the range of the model's inputs.

    >>> worst = WorstImages(torch.tensor([3, 3]), torch.tensor([0.1, 0.2]), torch.zeros(2, 1, 2, 2))
    >>> worst.at(0.15).eps
    tensor([0.1000])
    """

    ids: Int64[Tensor, " r"]
    eps: Float[Tensor, " r"]
    images: Float[Tensor, "r ..."]

    def at(self, eps: float) -> WorstImages:
        """Return a row per image that was attacked: the worst one at a budget or below."""
        rows = (self.eps <= eps).nonzero().squeeze(1) if eps == eps else torch.arange(len(self.ids))
        order = rows[torch.argsort(self.eps[rows], stable=True)]
        last = {int(self.ids[row]): int(row) for row in order}
        chosen = torch.tensor([last[i] for i in sorted(last)], dtype=torch.int64)
        return WorstImages(self.ids[chosen], self.eps[chosen], self.images[chosen])


def read_worst(out: Path | str) -> WorstImages | None:
    """Return the worst images of the evaluation in a folder; None where it kept none.

    Raises `InputError` for files that are damaged.

    >>> read_worst("no-such-folder") is None
    True
    """
    files = sorted((Path(out) / WORST).glob("*.safetensors"))
    if not files:
        return None
    tables = [read_safetensors(path) for path in files]
    for path, table in zip(files, tables, strict=True):
        if not {"id", "eps", "image"} <= table.keys():
            raise InputError(f"{shown(path)} holds no worst images; evaluate into another folder")
    ids, eps, images = (torch.cat([t[name] for t in tables]) for name in ("id", "eps", "image"))
    return WorstImages(ids, eps, images)
