"""Algorithm 2, simulated quantisation: 2^N levels in the forward pass, a straight-through gradient.

Everything stays in floating point; only the number of values that a tensor may take is reduced.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.errors import InputError

_MOST_BITS = 16


def check_bits(bits: object, name: str = "bits") -> None:
    """Raise `InputError` unless `bits` is a whole number from 1 to 16.

    >>> check_bits(0)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: bits is 0; give a whole number from 1 to 16
    """
    if not isinstance(bits, int) or isinstance(bits, bool) or not 1 <= bits <= _MOST_BITS:
        raise InputError(f"{name} is {bits!r}; give a whole number from 1 to {_MOST_BITS}")


def fake_quantise(
    x: Float[Tensor, "*shape"],
    bits: int,
    lower: Tensor | float | None = None,
    upper: Tensor | float | None = None,
    channel_axis: int | None = None,
) -> Float[Tensor, "*shape"]:
    """Return `x` on 2^bits evenly spaced levels from `lower` to `upper` (Algorithm 2 of the
    nine-defences report).

    With N bits and bounds a, b:  s = (b − a)/(2^N − 1),  x_int = round((clip(x, a, b) − a)/s),
    x_q = s·x_int + a. The gradient is the saturated straight-through one (eq. 2): that of x_q where
    a ≤ x ≤ b, 0 elsewhere; a and b are constants. A tensor that is quantised already comes back
    bit for bit. Where a = b every entry becomes a. Half precision is computed in float32, and
    keeps as many of the levels as it can tell apart.

    Args:
        x: any shape.
        bits: N, from 1 to 16.
        lower, upper: a and b, numbers or tensors that broadcast against `x`; None is the smallest
            and the largest entry of `x`.
        channel_axis: gives each slice along this axis its own bounds; vectors are then one bound
            per slice. None is one pair for the whole tensor.

    Raises `InputError` for integers, impossible bits, an axis that `x` lacks, bounds that are NaN
    or cross.

    References: Jacob et al. 2017, arXiv:1712.05877; Bengio, Léonard and Courville 2013,
    arXiv:1308.3432 (straight-through).

    >>> fake_quantise(torch.tensor([0.0, 0.2, 0.4, 1.0]), bits=1)
    tensor([0., 0., 0., 1.])
    >>> fake_quantise(torch.tensor([-3.0, 0.3, 0.8, 5.0]), bits=2, lower=0.0, upper=3.0)
    tensor([0., 0., 1., 3.])
    """
    check_bits(bits)
    if not x.is_floating_point():
        raise InputError(f"a tensor of {x.dtype} cannot be quantised; give floats")
    if channel_axis is not None and not -x.ndim <= channel_axis < x.ndim:
        raise InputError(f"channel_axis is {channel_axis}, but the tensor has {x.ndim} axes")
    if x.numel() == 0:
        return x
    a = _bound(x, lower, channel_axis, largest=False)
    b = _bound(x, upper, channel_axis, largest=True)
    # The tensor's own extremes need no look, which would make a GPU wait.
    given = lower is not None or upper is not None
    if given and not bool((a <= b).all()):
        raise InputError("the lower bound is NaN or above the upper one; give lower ≤ upper")
    apply: Callable[..., Tensor] = _SaturatedStraightThrough.apply
    return apply(x, a, b, bits, given)


def _bound(x: Tensor, bound: Tensor | float | None, axis: int | None, *, largest: bool) -> Tensor:
    """Return a bound that broadcasts against `x`, without a gradient."""
    x = x.detach()
    if bound is None:
        own = range(x.ndim) if axis is None else [d for d in range(x.ndim) if d != axis % x.ndim]
        dims = list(own)
        if not dims:  # a number, or a vector with one entry per channel
            return x
        return x.amax(dims, keepdim=True) if largest else x.amin(dims, keepdim=True)
    bound = torch.as_tensor(bound, dtype=x.dtype, device=x.device).detach()
    if axis is not None and bound.ndim == 1:
        shape = [1] * x.ndim
        shape[axis] = -1
        bound = bound.reshape(shape)
    return bound


class _SaturatedStraightThrough(torch.autograd.Function):
    """The levels forwards; backwards the identity inside [a, b] and 0 outside (eq. 2)."""

    generate_vmap_rule = True  # many small networks trained at once are mapped over

    @staticmethod
    def forward(x: Tensor, a: Tensor, b: Tensor, bits: int, bounded: bool) -> Tensor:
        return _nearest_level(x, a, b, bits)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, a, b, _, ctx.bounded = inputs
        if ctx.bounded:  # by its own extremes everything is inside
            ctx.save_for_backward((x >= a) & (x <= b))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None]:
        (gradient,) = gradients
        if ctx.bounded:
            (inside,) = ctx.saved_tensors
            gradient = gradient * inside
        return gradient, None, None, None, None


def _nearest_level(x: Tensor, a: Tensor, b: Tensor, bits: int) -> Tensor:
    dtype = torch.promote_types(x.dtype, torch.float32)
    a, b = a.to(dtype), b.to(dtype)
    clipped = torch.minimum(torch.maximum(x.to(dtype), a), b)  # on a CPU faster than clamp
    highest = 2**bits - 1
    s = (b - a) / highest
    number = ((clipped - a) / torch.where(s > 0, s, 1.0)).round_()

    def level(number: Tensor) -> Tensor:
        return torch.minimum((number * s).add_(a), b).to(x.dtype)  # rounding must not pass b

    nearest = level(number)
    # Where s is close to the spacing of the floats around x, a level may be rounded across the
    # middle between two levels. So that levels stay what they are, such an x keeps its neighbour.
    clipped = clipped.to(x.dtype)
    number = number.add_((clipped - nearest).sign_()).clamp_min_(0).clamp_max_(highest)
    neighbour = level(number)
    return torch.where(neighbour == clipped, neighbour, nearest)
