"""Smoothed: an attack that follows the mean gradient around its iterates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.kinds import FIXED_BUDGET
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.attacks.wrappers.wrapper import Wrapper
from saddlepoint.errors import InputError
from saddlepoint.option_values import Count, Positive
from saddlepoint.threat import Normed
from saddlepoint.threat.norms import expand, unit

_FIRST_DRAW = 256  # attacks number their own draws of a step from 0


@dataclass(frozen=True, kw_only=True)
class Smoothed(Wrapper):
    """An attack whose gradients are means over points around each iterate.

    Where a network is discontinuous, as under winners that take all (k-WTA), the gradient at a
    point is that of the piece it lies on, which ends before a step does; the mean over many pieces
    is a direction. Jumps of the logits themselves it does not see. Logits are the model's own at
    the iterate, so that what is recorded and what is judged stay the same.

    Args:
        attack: a fixed-budget attack that follows gradients; a step costs `draws` passes each way
            and a forward pass.
        draws: points per gradient.
        radius: how far the points lie from the iterate, in the norm, in units of the budget.

    Reference: Tramèr et al. 2020, "On adaptive attacks to adversarial example defenses",
    arXiv:2002.08347, of k-WTA.

    >>> from saddlepoint.attacks import PGD
    >>> from saddlepoint.threat import Linf
    >>> class Waves(torch.nn.Module):
    ...     def forward(self, x):
    ...         margin = (x - 0.45 + 0.02 * (500 * x).sin()).sum(1)
    ...         return torch.stack([margin, 0 * margin], 1)
    >>> images, labels = torch.full((1, 8), 0.5), torch.tensor([0])
    >>> attack = PGD(Linf(0.1), start="clean", steps=6)
    >>> [bool(each(Waves(), images, labels).success) for each in (attack, Smoothed(attack))]
    [False, True]
    """

    draws: Count = 10
    radius: Positive = 1.0

    norms = ("Linf", "L2", "L1", "Box")
    paper = "Tramèr et al. 2020, arXiv:2002.08347"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind is not FIXED_BUDGET:
            raise InputError(
                f"{type(self.attack).__name__} has no budget to measure the radius in;"
                " put Smoothed around an attack within a budget"
            )

    @property
    def expected_steps(self) -> int:
        """The passes as a rule; see `Attack`."""
        return self.attack.expected_steps * (self.draws + 1)

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Run the attack with mean gradients."""
        whole = {each.name: getattr(batch, each.name) for each in fields(Batch)}
        radius = self.radius * batch.threat.radius(batch.images)
        self.attack.perturb(_Around(**whole, radius=radius, draws=self.draws), tracker)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Around(Batch):
    """A batch whose gradients are means over points around the iterate.

    Attributes:
        radius: (m,) how far they lie from it.
        draws: how many there are.
    """

    radius: Float[Tensor, " m"]
    draws: int

    def at(self, rows: Tensor) -> Batch:
        """Return the batch of the rows (indices or a mask) of this one."""
        return replace(cast(_Around, super().at(rows)), radius=self.radius[rows])

    def gradient(
        self, x: Float[Tensor, "m ..."], objective: Callable[[Tensor], Tensor]
    ) -> tuple[Float[Tensor, "m k"], Float[Tensor, "m ..."]]:
        """Return the logits at `x` and the mean of the gradients around it."""
        logits, total = self.logits(x), torch.zeros_like(x)
        for point in self._points(x):
            total += super().gradient(point, objective)[1]
        return logits, total / self.draws

    def jacobian(
        self, x: Float[Tensor, "m ..."], cotangents: Callable[[Tensor], Tensor]
    ) -> tuple[Float[Tensor, "m K"], Float[Tensor, "m k ..."]]:
        """Return the logits at `x` and the mean of the products around it, of the cotangents at `x`."""
        logits = self.logits(x)
        wanted = cotangents(logits)
        total = torch.zeros((*wanted.shape[:2], *x.shape[1:]), dtype=x.dtype, device=x.device)
        for point in self._points(x):
            total += super().jacobian(point, lambda _: wanted)[1]
        return logits, total / self.draws

    def _points(self, x: Float[Tensor, "m ..."]) -> Iterator[Float[Tensor, "m ..."]]:
        """Yield the points, in the valid range; what a sample has had of passes says which."""
        passes = self.guard.ledger.forwards_of(self.index)
        p = self.normed.ball.p if isinstance(self.threat, Normed) else torch.inf
        for draw in range(self.draws):
            noise = self.keys.normal(x.shape[1:], step=passes, draw=_FIRST_DRAW + draw).to(x.dtype)
            noise = noise if self.mask is None else noise * self.mask
            point = self.masked(x + expand(self.radius.to(x.dtype), x) * unit(noise, p))
            if isinstance(self.threat, Normed):
                yield point.clamp(*self.ball.range(x))
            else:
                yield self.project(point)
