"""The images of an evaluation as they are given, and what the model says of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from saddlepoint.attacks import Stages
from saddlepoint.attacks.core.inputs import pixel_range
from saddlepoint.checks import in_range
from saddlepoint.data import ImageData
from saddlepoint.evaluation.asked import Asked
from saddlepoint.evaluation.journal import Columns
from saddlepoint.evaluation.steps import Steps, joined
from saddlepoint.threat import ThreatModel

CLEAN = "clean"
"""The step of the clean images."""


@dataclass(frozen=True, eq=False)
class CleanImages:
    """Clean images, read where they are needed and shown to the model once.

    Args:
        data, threat: the images, and whose range they are brought into.
        asked: the model.
        steps: where what it says is kept.
        seen: what it has said; no image is in two of the entries.
        held: the images that were read last, by their ids.
    """

    data: ImageData
    threat: ThreatModel
    asked: Asked
    steps: Steps
    seen: list[Columns]
    held: dict[tuple[int, ...], Tensor]

    def images(self, ids: Int64[Tensor, " m"]) -> Tensor:
        """Return these images, within the range of the threat model."""
        return in_range(self.data.images(ids), *pixel_range(self.threat))

    def reader(self, ids: Int64[Tensor, " m"]) -> Callable[[], Tensor]:
        """Return what reads images; those of one call are kept at a time."""
        key = tuple(ids.tolist())

        def read() -> Tensor:
            if key not in self.held:
                self.held.clear()
                self.held[key] = self.images(ids)
            return self.held[key]

        return read

    def clean(self, ids: Int64[Tensor, " m"]) -> Columns:
        """Return what the model says of images, a row per id; those that it was asked of before are
        not shown again.

        Args:
            ids: ascending; all were asked for before, or none.
        """
        for known in self.seen:
            if torch.equal(known["id"], ids):
                return known
        there = torch.cat([each["id"] for each in self.seen]) if self.seen else ids[:0]
        if len(ids) and bool(torch.isin(ids, there).all()):
            whole, order = joined(self.seen), there.argsort()
            rows = order[torch.searchsorted(there[order], ids)]
            return {name: value[rows] for name, value in whole.items()}
        images = self.reader(ids)

        def work(batch: Tensor, stages: Stages | None) -> Columns:
            some = images()[torch.searchsorted(ids, batch)]
            return self.asked.clean(some, self.data.labels[batch], batch)

        self.seen.append(self.steps.run(CLEAN, ids, work, waits=True))
        return self.seen[-1]
