"""Attacks whose whole course is kept: where each climb began and ended, and its loss at every
step.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from saddlepoint.attacks import Attack, Batch, Misclassified, Tracker
from saddlepoint.checks import check_labels, in_range
from saddlepoint.errors import InputError
from saddlepoint.model import Guard
from saddlepoint.streams import Keys

_ROWS = 1024  # samples in one pass
_STARTS = 17  # bits of an identity that tell the restarts of an image apart


@dataclass(frozen=True, eq=False)
class Climb:
    """The course of one attack on m samples.

    Attributes:
        start, end: (m, …) the first and the last iterate.
        losses: (m, iterates) the cross-entropy at every iterate, both ends included.

    >>> Climb(torch.zeros(1, 2), torch.ones(1, 2), torch.zeros(1, 5)).losses.shape
    torch.Size([1, 5])
    """

    start: Float[Tensor, "m ..."]
    end: Float[Tensor, "m ..."]
    losses: Float[Tensor, "m iterates"]


class _Trace(Tracker):
    """A tracker that never stops a sample and remembers every loss."""

    def __init__(self, images: Tensor) -> None:
        super().__init__(images)
        self.start: Tensor | None = None
        self.losses: list[Tensor] = []

    def record(self, batch: Batch, x: Tensor, logits: Tensor) -> None:
        if self.start is None:
            self.start = batch.render(x)
        self.losses.append(entropy(logits, batch.goals))

    def evaluate(self, batch: Batch, x: Tensor) -> None:
        self.record(batch, x, batch.logits(x))
        self.images = batch.render(x)


def climb(
    model: nn.Module,
    images: Float[Tensor, "m ..."],
    labels: Int64[Tensor, " m"],
    attack: Attack,
    ids: Int64[Tensor, " m"],
    seed: int,
) -> Climb:
    """Run a fixed-budget attack of one restart to its end, whoever is fooled on the way.

    >>> from saddlepoint.attacks import PGD
    >>> from saddlepoint.threat import Linf
    >>> net, x, y = nn.Linear(2, 2), torch.full((3, 2), 0.5), torch.zeros(3).long()
    >>> climb(net, x, y, PGD(Linf(0.1), steps=4), torch.arange(3), 0).losses.shape
    torch.Size([3, 5])
    """
    images = in_range(images)
    check_labels(labels, len(images))
    parts = []
    for rows in torch.split(torch.arange(len(images), device=images.device), _ROWS):
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
            trace = _Trace(x)
            attack.perturb(batch, trace)
        assert trace.start is not None
        parts.append((trace.start.cpu(), trace.images.cpu(), torch.stack(trace.losses, 1).cpu()))
    return Climb(*(torch.cat(each) for each in zip(*parts, strict=True)))


def many_climbs(
    model: nn.Module,
    images: Float[Tensor, "n ..."],
    labels: Int64[Tensor, " n"],
    attack: Attack,
    restarts: int,
    seed: int,
) -> Climb:
    """Run an attack from many starts at once: row i·restarts + r is restart r of image i.

    Restart r of an image begins at the same point however many restarts there are.

    >>> from saddlepoint.attacks import PGD
    >>> from saddlepoint.threat import Linf
    >>> net, x, y = nn.Linear(2, 2), torch.full((3, 2), 0.5), torch.zeros(3).long()
    >>> many_climbs(net, x, y, PGD(Linf(0.1), steps=4), 10, 0).end.shape
    torch.Size([30, 2])
    """
    if restarts > 2**_STARTS or len(images) > 2 ** (32 - _STARTS):
        raise InputError(
            f"{len(images)} images with {restarts} restarts; give at most {2 ** (32 - _STARTS)}"
            f" images and {2**_STARTS} restarts"
        )
    rows = torch.arange(len(images), device=images.device).repeat_interleave(restarts)
    repeats = torch.arange(restarts, device=images.device).repeat(len(images))
    return climb(model, images[rows], labels[rows], attack, (rows << _STARTS) + repeats, seed)


def entropy(logits: Float[Tensor, "m k"], labels: Int64[Tensor, " m"]) -> Float[Tensor, " m"]:
    """Return the cross-entropy of each image from its logits, exact also where it is tiny.

    >>> entropy(torch.tensor([[40.0, 0.0]]), torch.tensor([0]))
    tensor([4.2484e-18])
    """
    return functional.softplus(Misclassified().log_odds(logits, labels))


def losses(
    model: nn.Module, images: Float[Tensor, "m ..."], labels: Int64[Tensor, " m"]
) -> Float[Tensor, " m"]:
    """Return the cross-entropy of each image, on the CPU.

    >>> losses(nn.Flatten(), torch.zeros(1, 2), torch.zeros(1).long())
    tensor([0.6931])
    """
    return entropy(logits_of(model, images), labels.cpu())


def logits_of(model: nn.Module, images: Float[Tensor, "m ..."]) -> Float[Tensor, "m k"]:
    """Return the logits of each image, on the CPU; the images may lie outside [0, 1].

    >>> logits_of(nn.Flatten(), torch.full((1, 2), -3.0))
    tensor([[-3., -3.]])
    """
    with Guard(model, 0) as guard:
        # A guard counts the passes of each row; here nobody asks for them.
        parts = [guard.logits(part.to(guard.device)).cpu() for part in torch.split(images, _ROWS)]
    return torch.cat(parts)


def loss_gradients(
    model: nn.Module, images: Float[Tensor, "m ..."], labels: Int64[Tensor, " m"]
) -> Float[Tensor, "m ..."]:
    """Return the gradient of the cross-entropy of each image, on the CPU.

    >>> loss_gradients(nn.Flatten(), torch.zeros(1, 2), torch.zeros(1).long())
    tensor([[-0.5000,  0.5000]])
    """
    found = []
    for x, y in zip(torch.split(images, _ROWS), torch.split(labels, _ROWS), strict=True):
        with Guard(model, len(x)) as guard:
            goals = y.to(guard.device)
            _, gradient = guard.gradient(
                x.to(guard.device),
                lambda z, goals=goals: entropy(z, goals),  # type: ignore[misc]
            )
        found.append(gradient.cpu())
    return torch.cat(found)
