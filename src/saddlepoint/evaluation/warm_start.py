"""Images of one evaluation as the starts of another: what fooled one checkpoint is near what fools
the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Float, Int64
from torch import Tensor

from saddlepoint.data import ImageData, data_identity
from saddlepoint.errors import InputError
from saddlepoint.evaluation.record import Evaluation
from saddlepoint.evaluation.worst import WorstImages, read_worst
from saddlepoint.files import fingerprint
from saddlepoint.reading import shown


@dataclass(frozen=True, eq=False)
class WarmStart:
    """The worst images of a finished evaluation.

    Attributes:
        source: where they are from, for errors.
        data: the identity of the images that they were made from.
        worst: the images, each at the largest budget.

    >>> import torch
    >>> images = WorstImages(torch.tensor([1]), torch.tensor([0.1]), torch.ones(1, 2))
    >>> WarmStart("runs/a", {}, images).starts(torch.tensor([0, 1]), torch.zeros(2, 2))
    tensor([[0., 0.],
            [1., 1.]])
    """

    source: str
    data: Mapping[str, Any]
    worst: WorstImages

    def checked(self, data: ImageData) -> str:
        """Return what distinguishes these starts from others.

        Raises `InputError` where they are of other images.
        """
        now = data_identity(data)
        if now != self.data:
            names = [name for name in now if now[name] != self.data.get(name)]
            told = "; ".join(f"{name} {self.data.get(name)!r}, now {now[name]!r}" for name in names)
            raise InputError(
                f"the warm start {self.source} is of other images ({told}); give an evaluation of these"
            )
        return fingerprint(self.worst.ids.numpy().tobytes() + self.worst.images.numpy().tobytes())

    def starts(
        self, ids: Int64[Tensor, " m"], clean: Float[Tensor, "m ..."]
    ) -> Float[Tensor, "m ..."]:
        """Return an image to start from for each: the clean one where none is kept."""
        starts, row = clean.clone(), {int(i): n for n, i in enumerate(self.worst.ids)}
        there = [(n, row[int(i)]) for n, i in enumerate(ids) if int(i) in row]
        for mine, theirs in there:
            starts[mine] = self.worst.images[theirs].to(starts)
        return starts


def read_warm_start(folder: Path | str) -> WarmStart:
    """Return the worst images of the evaluation in a folder, as starts.

    Raises `InputError` where there is none, or none were kept.

    >>> read_warm_start("no-such-folder")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: cannot read no-such-folder/evaluation.json: No such file or directory
    """
    record, worst = Evaluation.load(folder), read_worst(folder)
    if worst is None:
        raise InputError(
            f"{shown(folder)} keeps no images to start from; evaluate that model into a new folder"
        )
    return WarmStart(shown(folder), dict(record.config["data"]), worst.at(float("inf")))
