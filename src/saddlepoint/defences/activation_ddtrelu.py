"""DDTReLU: every threshold is learnable, and they cannot cross."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.defences.activation_base import (
    DEFAULT_UPPER,
    OrderedThresholds,
    QuantisedActivation,
)


class DDTReLU(QuantisedActivation):
    """2^bits learnable intervals with ordered thresholds; the output is the middle of the interval.

    With M = 2^bits intervals, t_0 ≤ t_1 ≤ … ≤ t_M = t_0 + Σ softplus(r) and x in interval
    I_i = [t_i, t_{i+1}), the output is y = (t_i + t_{i+1})/2; x below t_0 counts as in the first
    interval, x above t_M as in the last. It starts as DTReLU does, with the levels 0, s, 2s, …, b.

    The gradient is straight-through in x: 1 for t_0 ≤ x ≤ t_M, else 0. That of a threshold is built
    from the elements of the two intervals beside it. With λ = (x − t_i)/(t_{i+1} − t_i), the place
    of x in its interval, and g the gradient that arrives at y,

        ∂L/∂t_j = Σ_{x ∈ I_j} g·(λ − ½) + Σ_{x ∈ I_{j−1}} g·(½ − λ),

    and for x < t_0 and x > t_M, which are clipped, g/2 for each end of the first or last interval.
    It is the exact gradient of y = φ(c + φ⁻¹(x)), where φ is the piecewise-linear map with
    φ(j) = t_j, and the rounding c = ⌊φ⁻¹(x)⌋ + ½ − φ⁻¹(x) is held constant: the `lsq` gradient of
    DTReLU, with uneven steps. Against ReLU it makes the wider of two neighbours, by squared error,
    narrower. An interval that no data reaches gives no gradient; its ends then move for their other
    neighbours alone, which is how levels are lost.

    Args:
        bits: N, from 1 to 16.

    Any shape goes in and comes out. After the fully dynamic thresholds of the nine-defences
    report, section 3.2.

    >>> layer = DDTReLU(bits=2)
    >>> layer.set_range(3.0)
    >>> layer(torch.tensor([-1.0, 0.4, 1.2, 9.0])).detach().round(decimals=4)
    tensor([0., 0., 1., 3.])
    """

    def __init__(self, bits: int = 4) -> None:
        super().__init__(bits)
        self.thresholds = OrderedThresholds(2**bits + 1)
        self.set_range(DEFAULT_UPPER)

    def set_range(self, upper: float) -> None:
        """Set the levels 0, s, 2s, …, `upper`; the thresholds are half a step beside them."""
        half = upper / (2**self.bits - 1) / 2
        self.thresholds.set_even(-half, upper + half)

    @torch.no_grad()
    def levels(self) -> Float[Tensor, " levels"]:
        """Return the 2^bits output levels."""
        t: Tensor = self.thresholds()
        return (t[:-1] + t[1:]) / 2

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return the quantised activation of `x`."""
        apply: Callable[..., Tensor] = _DynamicThresholds.apply
        return apply(x, self.thresholds())


class _DynamicThresholds(torch.autograd.Function):
    """The middle of the interval forwards; backwards the formula in the text of `DDTReLU`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, t: Tensor) -> Tensor:
        wide = x.to(t.dtype)
        interval = torch.bucketize(wide, t[1:-1], right=True)
        ctx.save_for_backward(wide, t, interval)
        return ((t[:-1] + t[1:]) / 2)[interval].to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, t, interval = ctx.saved_tensors
        (g,) = gradients
        below, above = x < t[0], x > t[-1]
        grad_x = g.masked_fill(below | above, 0.0) if ctx.needs_input_grad[0] else None
        if not ctx.needs_input_grad[1]:
            return grad_x, None
        gap = (t[1:] - t[:-1]).clamp(min=torch.finfo(t.dtype).tiny)
        place = ((x - t[:-1][interval]) / gap[interval]).clamp(0, 1)
        pull = g.to(t.dtype) * (place - 0.5)
        wide, at = g.to(t.dtype).flatten(), interval.flatten()
        left = (pull.flatten() + wide * below.flatten()).to(t.dtype)
        right = (wide * above.flatten() - pull.flatten()).to(t.dtype)
        grad_t = torch.zeros_like(t)
        grad_t[:-1].index_add_(0, at, left)
        grad_t[1:].index_add_(0, at, right)
        return grad_x, grad_t
