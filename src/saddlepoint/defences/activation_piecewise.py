"""PiecewiseLinear: the continuous function with as many free values as the others have levels."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.defences.activation_base import (
    DEFAULT_UPPER,
    OrderedThresholds,
    QuantisedActivation,
)


class PiecewiseLinear(QuantisedActivation):
    """A continuous piecewise-linear function on 2^bits learnable knots, constant outside them.

    Its 2^bits values at the knots are what the others have as levels, but it goes from one to the
    next in a straight line where they jump: its output is *not* quantised. It is the comparison in
    which every derivative exists, so that it learns by plain automatic differentiation; there is no
    straight-through gradient. The knots are ordered by construction. It starts as clip(x, 0, b).

    Args:
        bits: N, from 1 to 16.

    Any shape goes in and comes out.

    >>> layer = PiecewiseLinear(bits=2)
    >>> layer.set_range(3.0)
    >>> layer(torch.tensor([-1.0, 0.4, 1.2, 9.0])).detach().round(decimals=4)
    tensor([0.0000, 0.4000, 1.2000, 3.0000])
    """

    def __init__(self, bits: int = 4) -> None:
        super().__init__(bits)
        self.knots = OrderedThresholds(2**bits)
        self.values = nn.Parameter(torch.zeros(2**bits))
        self.set_range(DEFAULT_UPPER)

    @torch.no_grad()
    def set_range(self, upper: float) -> None:
        """Set knots and values to 0, s, 2s, …, `upper`: clip(x, 0, upper)."""
        self.knots.set_even(0.0, upper)
        self.values.copy_(torch.linspace(0.0, upper, 2**self.bits, dtype=torch.float64))

    def levels(self) -> Float[Tensor, " levels"]:
        """Return the 2^bits values at the knots, which the output passes through."""
        return self.values.detach().clone()

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return the function's value at `x`."""
        t = self.knots()
        wide = x.to(t.dtype)
        i = torch.bucketize(wide.detach(), t.detach()[1:-1], right=True)
        gap = (t[1:] - t[:-1]).clamp(min=torch.finfo(t.dtype).tiny)
        place = ((wide - t[:-1][i]) / gap[i]).clamp(0, 1)
        return torch.lerp(self.values[:-1][i], self.values[1:][i], place).to(x.dtype)
