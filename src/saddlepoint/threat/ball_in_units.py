"""What a norm ball in other units than the images' is by itself: its budget is the ball's."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Self

from jaxtyping import Float
from torch import Tensor

from saddlepoint.threat.ball import NormBall


@dataclass(frozen=True)
class BallInUnits:
    """A norm ball whose budget is in units of its own; a subclass says how images become its
    parameters, and what the units are.

    >>> from saddlepoint.threat import Linf
    >>> BallInUnits(Linf(0.5)).with_eps(0.25).eps
    0.25
    """

    ball: NormBall

    @property
    def eps(self) -> float | Tensor:
        """The budget, in the ball's units."""
        return self.ball.eps

    @property
    def norm_name(self) -> str:
        """The name of the ball's norm."""
        return self.ball.norm_name

    def with_eps(self, eps: float | Tensor) -> Self:
        """Return the same threat model with another budget, in the ball's units."""
        return dataclasses.replace(self, ball=self.ball.with_eps(eps))

    def at(self, index: Tensor) -> Self:
        """Return the threat model of the selected samples."""
        return dataclasses.replace(self, ball=self.ball.at(index))

    def radius(self, images: Float[Tensor, "n ..."]) -> Float[Tensor, " n"]:
        """Return the budget of each sample, in the ball's units."""
        return self.ball.radius(images)
