"""Budgets per root of the length: longer texts may change more, by the same root mean square of their
tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saddlepoint.streams import Keys
from saddlepoint.threat.ball_in_units import BallInUnits
from saddlepoint.threat.norms import at_least_single, within
from saddlepoint.threat.tokens import FREE, TokenL2, free_entries


@dataclass(frozen=True)
class PerRootLength(BallInUnits):
    """An L2 ball of radius eps·√T around embedded text, T its free tokens.

    Parameters are embeddings divided by √T, in which the ball has radius eps for every text; flags and
    what is held are not divided.

    >>> x = torch.tensor([[[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]])
    >>> threat = PerRootLength(TokenL2(0.5))
    >>> z = threat.project(x, threat.parametrise(x) + torch.tensor([1.0, 0.0, 0.0]))
    >>> change = threat.render(x, z) - x
    >>> round(float(change.norm() / 2**0.5), 5), round(float(threat.distance(x, x + change)), 5)
    (0.5, 0.5)
    """

    ball: TokenL2 = field(default_factory=TokenL2)

    def __str__(self) -> str:
        return f"{self.ball}·√T"

    @property
    def space(self) -> str:
        """The units of the budget."""
        return "embedding per root length"

    def free(self, images: Float[Tensor, "n t d"]) -> Bool[Tensor, "n t d"]:
        """Return where an entry may change."""
        return free_entries(images)

    def parametrise(self, images: Float[Tensor, "n t d"]) -> Float[Tensor, "n t d"]:
        """Return the embeddings of free tokens divided by √T, in the dtype of the ball's parameters."""
        x = images.double()
        z = torch.where(free_entries(images), x / _root(images), x)
        return z if self.ball.fine else z.to(at_least_single(images[:0]).dtype)

    def render(
        self, images: Float[Tensor, "n t d"], parameters: Float[Tensor, "n t d"]
    ) -> Float[Tensor, "n t d"]:
        """Return the embeddings of parameters; where nothing has moved, exactly what was given."""
        x, root = at_least_single(images), _root(images)
        free = free_entries(images)
        change = (parameters - self.parametrise(images)) * root.to(parameters.dtype) * free
        with torch.no_grad():
            moved = within(
                x, (parameters.double() - self.parametrise(images).double()) * root * free
            )
        change = change.to(x.dtype)
        return moved + (change - change.detach())

    def project(
        self, images: Float[Tensor, "n t d"], parameters: Float[Tensor, "n t d"]
    ) -> Float[Tensor, "n t d"]:
        """Return the nearest parameters in the ball."""
        return self.ball.project(self.parametrise(images), parameters)

    def contains(
        self, images: Float[Tensor, "n t d"], candidates: Float[Tensor, "n t d"]
    ) -> Bool[Tensor, " n"]:
        """Return which candidates hold what is held to the bit, and are within the budget."""
        held = (candidates == images) | free_entries(images)
        near = self.distance(images, candidates) <= self.ball.eps_float64(images).flatten() * (
            1 + self.ball.tolerance
        )
        return (held & candidates.isfinite()).flatten(1).all(1) & near

    def distance(
        self, images: Float[Tensor, "n t d"], candidates: Float[Tensor, "n t d"]
    ) -> Float[Tensor, " n"]:
        """Return ‖change‖₂/√T in float64."""
        return self.ball.distance(images, candidates) / _root(images).flatten()

    def steepest_direction(
        self,
        gradient: Float[Tensor, "n t d"],
        at: Float[Tensor, "n t d"] | None = None,
        k: int = 1,
        length: Float[Tensor, " n"] | None = None,
    ) -> Float[Tensor, "n t d"]:
        """Return the ball's steepest direction."""
        return self.ball.steepest_direction(gradient, at, k, length)

    def random_start(
        self,
        images: Float[Tensor, "n t d"],
        keys: Keys,
        *,
        restart: int = 0,
        gaussian: bool = False,
        free: Bool[Tensor, "n t d"] | None = None,
    ) -> Float[Tensor, "n t d"]:
        """Return parameters drawn from the ball."""
        return self.ball.random_start(
            self.parametrise(images), keys, restart=restart, gaussian=gaussian, free=free
        )


def _root(images: Tensor) -> Tensor:
    """Return √T of each text in float64, at least 1, to broadcast with the embeddings."""
    count = (images[..., -1] == FREE).sum(1).clamp_min(1)
    return count.double().sqrt()[:, None, None]
