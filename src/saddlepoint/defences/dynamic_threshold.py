"""Learnable thresholds by plain automatic differentiation, and what goes wrong with them."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.defences.activation_base import DEFAULT_UPPER, QuantisedActivation


class NaiveDynamicThreshold(QuantisedActivation):
    """2^bits intervals between learnable thresholds, with the gradient that autograd gives.

    The thresholds are sorted at every call, since nothing keeps them in order. Averaged, there are
    2^bits + 1 of them and the output is the mean of the two ends of x's interval, so that each gets
    half of the gradient. With `averaged=False` there are 2^bits and the output is the lower end
    alone: every gradient then has the same direction, the thresholds drift to the edge of the data
    and the function degenerates into a binary one (nine-defences report, section 7.3): a control.

    The gradient in x is straight-through: 1 between the first and the last threshold, else 0.

    Args:
        bits: N, from 1 to 16.
        averaged: take the mean of the two ends.

    Any shape goes in and comes out.

    >>> layer = NaiveDynamicThreshold(bits=2)
    >>> layer.set_range(3.0)
    >>> layer(torch.tensor([-1.0, 0.4, 1.2, 9.0])).detach()
    tensor([0., 0., 1., 3.])
    """

    def __init__(self, bits: int = 4, averaged: bool = True) -> None:
        super().__init__(bits)
        self.averaged = averaged
        self.thresholds = nn.Parameter(torch.zeros(2**bits + averaged))
        self.set_range(DEFAULT_UPPER)

    @torch.no_grad()
    def set_range(self, upper: float) -> None:
        """Set the levels 0, s, 2s, …, `upper`."""
        # Averaged, the thresholds lie half a step beside the levels; else they are the levels.
        half = upper / (2**self.bits - 1) / 2 if self.averaged else 0.0
        count = len(self.thresholds)
        even = torch.linspace(-half, upper + half, count, dtype=torch.float64)
        self.thresholds.copy_(even)

    @torch.no_grad()
    def levels(self) -> Float[Tensor, " levels"]:
        """Return the 2^bits output levels, in order."""
        return self._levels(self.thresholds.sort().values)

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return the quantised activation of `x`."""
        t = self.thresholds.sort().values
        edges = t.detach()
        wide = x.to(t.dtype)
        inner = edges[1:-1] if self.averaged else edges[1:]
        y = self._levels(t)[torch.bucketize(wide.detach(), inner, right=True)]
        clipped = wide.clamp(edges[0], edges[-1])
        return (y + (clipped - clipped.detach())).to(x.dtype)

    def _levels(self, t: Tensor) -> Tensor:
        return (t[:-1] + t[1:]) / 2 if self.averaged else t

    def extra_repr(self) -> str:
        """Return what `repr` shows."""
        return f"bits={self.bits}, averaged={self.averaged}"
