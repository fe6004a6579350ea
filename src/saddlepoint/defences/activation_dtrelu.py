"""DTReLU: evenly spaced levels between two learnable bounds, the one that the experiments use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.defences.activation_base import DEFAULT_UPPER, QuantisedActivation
from saddlepoint.option_values import check_value


class DTReLU(QuantisedActivation):
    """clip(x, a, b) on 2^bits even levels; the bounds a (`lower`) and b (`upper`) are learnable.

    They start at a = 0 and b = 6, or, after `calibrate(x)`, at the 99.9th percentile of ReLU(x). By
    their gradients they follow the range of the inputs slowly, so that outliers cannot pull them,
    as the moving averages of Jacob et al. 2017 do. Where b ≤ a the output is a, and b gets the
    gradient of everything above a.

    Args:
        bits: N, from 1 to 16.
        gradient: "report", that of the nine-defences report: ∂y/∂x = 1 for a ≤ x ≤ b, ∂y/∂b = 1 for
            x > b and ∂y/∂a = 1 for x < a, all 0 elsewhere. A bound beyond the data then has no
            gradient: b needs a little weight decay to come back. "lsq" adds, inside, ∂y/∂b =
            (round(u) − u)/(2^N − 1) and ∂y/∂a = −∂y/∂b with u = (x − a)/s, so that the bounds also
            weigh the rounding error.

    Any shape goes in and comes out. References: Jacob et al. 2017, arXiv:1712.05877; Esser et al.
    2020, arXiv:1902.08153 (lsq).

    >>> layer = DTReLU(bits=2)
    >>> layer.calibrate(torch.linspace(-3, 3, 10_000))
    >>> [round(v, 2) for v in layer(torch.tensor([-1.0, 0.4, 1.2, 9.0])).tolist()]
    [0.0, 0.0, 1.0, 2.99]
    """

    def __init__(self, bits: int = 4, gradient: Literal["report", "lsq"] = "report") -> None:
        super().__init__(bits)
        check_value("gradient", gradient, Literal["report", "lsq"])
        self.gradient = gradient
        self.lower = nn.Parameter(torch.tensor(0.0))
        self.upper = nn.Parameter(torch.tensor(DEFAULT_UPPER))

    @torch.no_grad()
    def set_range(self, upper: float) -> None:
        """Set a = 0 and b = `upper`."""
        self.lower.fill_(0.0)
        self.upper.fill_(upper)

    @torch.no_grad()
    def levels(self) -> Float[Tensor, " levels"]:
        """Return the 2^bits output levels."""
        number = torch.arange(2**self.bits, device=self.upper.device)
        s = (self.upper - self.lower).clamp(min=0) / (2**self.bits - 1)
        levels: Tensor = number * s + self.lower
        return levels

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return the quantised activation of `x`."""
        apply: Callable[..., Tensor] = _DynamicRange.apply
        return apply(x, self.lower, self.upper, self.bits, self.gradient == "lsq")

    def extra_repr(self) -> str:
        """Return what `repr` shows."""
        return f"bits={self.bits}, gradient={self.gradient}"


class _DynamicRange(torch.autograd.Function):
    """Clipping, quantisation and the three gradients in one, which keeps only x (lsq: and y)."""

    generate_vmap_rule = True  # many small networks trained at once are mapped over

    @staticmethod
    def forward(x: Tensor, a: Tensor, b: Tensor, bits: int, lsq: bool) -> Tensor:
        dtype = torch.promote_types(x.dtype, torch.float32)
        a, b = a.to(dtype), b.to(dtype)
        highest = 2**bits - 1
        s = (b - a).clamp(min=0) / highest
        # Rounding and clipping commute here: the ends of the range are levels.
        y: Tensor = (x.to(dtype) - a).div_(torch.where(s > 0, s, 1.0)).round_()
        y = y.clamp_min_(0).clamp_max_(highest).mul_(s).add_(a)
        return y.to(x.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, a, b, _, ctx.lsq = inputs
        ctx.save_for_backward(x, a, b, *([output] if ctx.lsq else []))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, a, b, *outputs = ctx.saved_tensors
        (g,) = gradients
        dtype = torch.promote_types(x.dtype, torch.float32)
        wide, top = x.to(dtype), torch.maximum(a, b)
        # In place, and products with −1, 0 and 1 in place of selections by a boolean mask: both are
        # many times faster on a CPU.
        below = (wide - a).sign_().clamp_max_(0).mul_(g)  # −g below the range, 0 elsewhere
        above = (wide - top).sign_().clamp_min_(0).mul_(g)
        grad_a, grad_b = -below.sum(dtype=a.dtype), above.sum(dtype=b.dtype)
        inside = below.add_(g).sub_(above)
        if ctx.lsq:
            # (round(u) − u)/(2^N − 1) = (y − x)/(b − a) for u = (x − a)/s, where x is inside.
            rounding = above.copy_(outputs[0]).sub_(wide).mul_(inside).sum(dtype=b.dtype)
            rounding = rounding / torch.where(b > a, b - a, torch.inf)
            grad_a, grad_b = grad_a - rounding, grad_b + rounding
        return inside.to(x.dtype), grad_a, grad_b, None, None
