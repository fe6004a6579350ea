"""Trajectories of an attack: where each began and ended, and its loss at every iterate."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from saddlepoint.attacks import Attack, Batch, Misclassified, Tracker
from saddlepoint.checks import check_labels, in_range
from saddlepoint.errors import InputError
from saddlepoint.lab.outputs import ROWS, cross_entropy
from saddlepoint.model import Guard
from saddlepoint.streams import Keys

_STARTS = 17  # bits of an identity that tell the restarts of an image apart


@dataclass(frozen=True, eq=False)
class Trajectories:
    """The course of an attack on m samples.

    Attributes:
        start, end: (m, …) the first and the last iterate.
        losses: (m, iterates) the cross-entropy at every iterate, both ends included.

    >>> Trajectories(torch.zeros(1, 2), torch.ones(1, 2), torch.zeros(1, 5)).losses.shape
    torch.Size([1, 5])
    """

    start: Float[Tensor, "m ..."]
    end: Float[Tensor, "m ..."]
    losses: Float[Tensor, "m iterates"]


class _Recorder(Tracker):
    """Stops no sample, and remembers every loss."""

    def __init__(self, images: Tensor) -> None:
        super().__init__(images)
        self.start: Tensor | None = None
        self.losses: list[Tensor] = []

    def record(self, batch: Batch, x: Tensor, logits: Tensor) -> None:
        if self.start is None:
            self.start = batch.render(x)
        self.losses.append(cross_entropy(logits, batch.goals))

    def offer(self, batch: Batch, x: Tensor) -> None:
        self.record(batch, x, batch.logits(x))
        self.images = batch.render(x)


def trace(
    model: nn.Module,
    images: Float[Tensor, "m ..."],
    labels: Int64[Tensor, " m"],
    attack: Attack,
    ids: Int64[Tensor, " m"],
    seed: int,
) -> Trajectories:
    """Run a fixed-budget attack of one restart to its end, whoever is fooled on the way.

    >>> from saddlepoint.attacks import PGD
    >>> from saddlepoint.threat import Linf
    >>> net, x, y = nn.Linear(2, 2), torch.full((3, 2), 0.5), torch.zeros(3).long()
    >>> trace(net, x, y, PGD(Linf(0.1), steps=4), torch.arange(3), 0).losses.shape
    torch.Size([3, 5])
    """
    images = in_range(images)
    check_labels(labels, len(images))
    parts = []
    for rows in torch.split(torch.arange(len(images), device=images.device), ROWS):
        x = images[rows]
        with Guard(model, len(rows), seed=seed) as guard:
            batch = Batch(
                guard=guard,
                threat=attack.threat,
                criterion=Misclassified(),
                images=x,
                goals=labels[rows],
                keys=Keys(seed, ids.to(x.device)[rows]),
                index=torch.arange(len(rows), device=x.device),
            )
            seen = _Recorder(x)
            attack.perturb(batch, seen)
        assert seen.start is not None
        parts.append((seen.start.cpu(), seen.images.cpu(), torch.stack(seen.losses, 1).cpu()))
    return Trajectories(*(torch.cat(each) for each in zip(*parts, strict=True)))


def trace_restarts(
    model: nn.Module,
    images: Float[Tensor, "n ..."],
    labels: Int64[Tensor, " n"],
    attack: Attack,
    restarts: int,
    seed: int,
) -> Trajectories:
    """Run a fixed-budget attack from many starts at once: row i·restarts + r is restart r of image i.

    Restart r of an image begins at the same point however many restarts there are.

    >>> from saddlepoint.attacks import PGD
    >>> from saddlepoint.threat import Linf
    >>> net, x, y = nn.Linear(2, 2), torch.full((3, 2), 0.5), torch.zeros(3).long()
    >>> trace_restarts(net, x, y, PGD(Linf(0.1), steps=4), 10, 0).end.shape
    torch.Size([30, 2])
    """
    if restarts > 2**_STARTS or len(images) > 2 ** (32 - _STARTS):
        raise InputError(
            f"{len(images)} images with {restarts} restarts; give at most {2 ** (32 - _STARTS)}"
            f" images and {2**_STARTS} restarts"
        )
    rows = torch.arange(len(images), device=images.device).repeat_interleave(restarts)
    repeats = torch.arange(restarts, device=images.device).repeat(len(images))
    return trace(model, images[rows], labels[rows], attack, (rows << _STARTS) + repeats, seed)
