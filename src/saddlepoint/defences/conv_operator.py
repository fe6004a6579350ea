"""A convolution as the linear map that it is, and the transpose of that map.

As a matrix it is large, sparse and full of repeated entries (figure 5 and eq. 6 of the
nine-defences report); nothing here builds it. The map is the convolution itself, and its transpose
the transposed convolution: for stride 1 the convolution with the kernel turned round, [C_in, C_out,
−K, −K], and padding K − 1 − P (eq. 7).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from saddlepoint.errors import InputError

_CONV = (functional.conv1d, functional.conv2d, functional.conv3d)
_TRANSPOSED = (
    functional.conv_transpose1d,
    functional.conv_transpose2d,
    functional.conv_transpose3d,
)
_TORCHS_OWN = (
    nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
)  # fmt: skip


@dataclass(frozen=True)
class ConvOperator:
    """A convolution, or a transposed one, without its bias and on inputs of one size.

    In one to three dimensions, with any stride, dilation, groups, padding and padding mode.

    Args:
        input_shape, output_shape: (C, H, W), or with one or three sides.
        stride, dilation: per side.
        padding: (before, after) per side.
        mode: of the padding: "zeros", "reflect", "replicate" or "circular".
        groups: of channels.
        transposed: the map is the transpose of the convolution that the other settings describe.

    >>> layer = nn.Conv2d(1, 1, 3, stride=2, bias=False)
    >>> operator = ConvOperator.of(layer, (1, 6, 6))
    >>> v, u = torch.rand(1, 6, 6), torch.rand(operator.output_shape)
    >>> left = (operator.apply(layer.weight, v) * u).sum()
    >>> right = (v * operator.adjoint(layer.weight, u)).sum()
    >>> torch.allclose(left, right)
    True
    """

    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    mode: str = "zeros"
    groups: int = 1
    transposed: bool = False

    @classmethod
    def of(cls, layer: nn.Module, input_shape: Sequence[int] | None) -> ConvOperator:
        """Return the operator of a layer on inputs of shape (C, H, W).

        Raises `InputError` for a layer with a forward of its own, which may be any map, and for a
        shape that the layer does not take.
        """
        kind = type(layer).__name__
        own = all(type(layer).forward is not each.forward for each in _TORCHS_OWN)
        if not isinstance(layer, _ConvNd) or own:
            raise InputError(f'a {kind} has a forward of its own; use operator="reshaped"')
        dims = len(layer.kernel_size)
        shape = tuple(input_shape or ())
        if len(shape) != dims + 1 or shape[0] != layer.in_channels:
            raise InputError(
                f"the input shape is {shape}; give ({layer.in_channels},"
                f" {', '.join('DHW'[-dims:])}) of what the {kind} takes, without the batch"
            )
        transposed = isinstance(layer, _ConvTransposeNd)
        padding = _padding(layer)
        sides = []
        for i, n in enumerate(shape[1:]):
            reach = layer.dilation[i] * (layer.kernel_size[i] - 1) + 1
            pad = sum(padding[i])
            if transposed:
                grown = (n - 1) * layer.stride[i] + reach
                sides.append(grown + layer.output_padding[i] - pad)
            else:
                sides.append((n + pad - reach) // layer.stride[i] + 1)
        if min(sides) < 1:
            raise InputError(f"inputs of shape {shape} are smaller than the kernel of the {kind}")
        return cls(
            shape,
            (layer.out_channels, *sides),
            tuple(layer.stride),
            tuple(layer.dilation),
            padding,
            layer.padding_mode,
            layer.groups,
            transposed,
        )

    def apply(self, weight: Tensor, v: Float[Tensor, "... c *s"]) -> Float[Tensor, "... k *t"]:
        """Return A v."""
        return (self._transpose if self.transposed else self._convolve)(weight, v)

    def adjoint(self, weight: Tensor, u: Float[Tensor, "... k *t"]) -> Float[Tensor, "... c *s"]:
        """Return Aᵀ u."""
        return (self._convolve if self.transposed else self._transpose)(weight, u)

    @property
    def _large(self) -> tuple[int, ...]:
        """The sides that the convolution takes and its transpose returns."""
        return (self.output_shape if self.transposed else self.input_shape)[1:]

    @property
    def _small(self) -> tuple[int, ...]:
        return (self.input_shape if self.transposed else self.output_shape)[1:]

    @property
    def _plain(self) -> bool:
        """Whether torch's convolutions take the padding as a number per side."""
        return self.mode == "zeros" and all(before == after for before, after in self.padding)

    def _pad(self, v: Tensor) -> Tensor:
        mode = "constant" if self.mode == "zeros" else self.mode
        return functional.pad(v, [p for pair in reversed(self.padding) for p in pair], mode)

    def _convolve(self, weight: Tensor, v: Tensor) -> Tensor:
        dims = len(self.stride)
        padding = [before if self._plain else 0 for before, _ in self.padding]
        v = v if self._plain else self._pad(v)
        out = _CONV[dims - 1](v, weight, None, self.stride, padding, self.dilation, self.groups)
        # A transposed layer whose output padding is a stride or more has entries beyond its input.
        for axis, side in enumerate(self._small, start=-dims):
            out = out.narrow(axis, 0, side)
        return out

    def _transpose(self, weight: Tensor, u: Tensor) -> Tensor:
        dims = len(self.stride)
        inner = [before if self._plain else 0 for before, _ in self.padding]
        rest = []  # the last entries of a side, too few for another stride
        for i, (large, small) in enumerate(zip(self._large, self._small, strict=True)):
            full = large if self._plain else large + sum(self.padding[i])
            reach = self.dilation[i] * (weight.shape[2 + i] - 1) + 1
            rest.append(full - ((small - 1) * self.stride[i] + reach - 2 * inner[i]))
        out = _TRANSPOSED[dims - 1](
            u, weight, None, self.stride, inner, rest, self.groups, self.dilation
        )
        if self._plain:
            return out
        # The padding is a linear map as well; its transpose is its vector-Jacobian product.
        zero = out.new_zeros((*out.shape[:-dims], *self._large))
        back = torch.func.vjp(self._pad, zero)[1]
        return back(out)[0]  # type: ignore[no-any-return]


def _padding(layer: _ConvNd) -> tuple[tuple[int, int], ...]:
    """Return a layer's padding as numbers (before, after) per side, as torch places "same"."""
    if layer.padding == "valid":
        return ((0, 0),) * len(layer.kernel_size)
    if layer.padding == "same":
        totals = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
        return tuple((total // 2, total - total // 2) for total in totals)
    return tuple((int(p), int(p)) for p in layer.padding)
