"""Every layer with a weight as a linear map, and that map written out as a matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from saddlepoint.defences.conv_operator import ConvOperator
from saddlepoint.errors import InputError

_CHUNK = 256  # columns of a dense matrix that are computed at a time


class Operator(Protocol):
    """A linear map between tensors of fixed shapes, given a weight.

    `apply` and `adjoint` also take a batch of tensors, one more axis in front.

    >>> operator: Operator = MatrixOperator.of(nn.Linear(3, 2))
    >>> operator.input_shape, operator.output_shape
    ((1, 3), (1, 2))
    """

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape that `apply` takes."""
        ...

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape that `apply` returns."""
        ...

    def apply(self, weight: Tensor, v: Tensor) -> Tensor:
        """Return A v."""
        ...

    def adjoint(self, weight: Tensor, u: Tensor) -> Tensor:
        """Return Aᵀ u."""
        ...


@dataclass(frozen=True)
class MatrixOperator:
    """A linear layer, or the reshaped matrix of a convolution; with groups, one block per group.

    A convolution's [C_out, C_in/g, K, K] becomes g blocks [C_out/g, C_in/g·K·K] (eq. 4 and figure 4
    of the nine-defences report; Yoshida and Miyato 2017, arXiv:1705.10941). The outputs of a
    transposed convolution, its second axis, are brought to the front.

    Args:
        input_shape, output_shape: (g, n) and (g, m).
        transposed: the layer is a transposed convolution.

    >>> MatrixOperator.of(nn.Conv2d(4, 6, 3, groups=2)).matrices(torch.rand(6, 2, 3, 3)).shape
    torch.Size([2, 3, 18])
    """

    input_shape: tuple[int, int]
    output_shape: tuple[int, int]
    transposed: bool = False

    @classmethod
    def of(cls, layer: nn.Module) -> MatrixOperator:
        """Return the operator of a linear layer or a convolution; of another, an `InputError`."""
        if isinstance(layer, nn.Linear):
            return cls((1, layer.in_features), (1, layer.out_features))
        if not isinstance(layer, _ConvNd):
            raise InputError(
                f"a {type(layer).__name__} has no matrix; give a convolution or a linear layer"
            )
        g = layer.groups
        n = layer.in_channels // g * math.prod(layer.kernel_size)
        return cls((g, n), (g, layer.out_channels // g), isinstance(layer, _ConvTransposeNd))

    def matrices(self, weight: Tensor) -> Float[Tensor, "g m n"]:
        """Return the blocks."""
        grouped = weight.reshape(self.input_shape[0], -1, *weight.shape[1:])
        return (grouped.transpose(1, 2) if self.transposed else grouped).flatten(2)

    def apply(self, weight: Tensor, v: Float[Tensor, "... g n"]) -> Float[Tensor, "... g m"]:
        """Return A v."""
        return torch.einsum("gmn,...gn->...gm", self.matrices(weight), v)

    def adjoint(self, weight: Tensor, u: Float[Tensor, "... g m"]) -> Float[Tensor, "... g n"]:
        """Return Aᵀ u."""
        return torch.einsum("gmn,...gm->...gn", self.matrices(weight), u)


def blocks_of(operator: Operator) -> int:
    """Return in how many equal blocks an operator is block-diagonal: the groups of a convolution.

    >>> blocks_of(MatrixOperator.of(nn.Conv2d(4, 6, 3, groups=2)))
    2
    """
    return operator.groups if isinstance(operator, ConvOperator) else operator.input_shape[0]


def layer_operator(
    layer: nn.Module,
    input_shape: Sequence[int] | None = None,
    kind: Literal["conv", "reshaped"] = "conv",
) -> Operator:
    """Return a layer as a linear map, its bias left out.

    Args:
        layer: a convolution, also transposed, or a linear layer.
        input_shape: (C, H, W) of what a convolution acts on, without the batch.
        kind: "conv", the map that a convolution applies to inputs of that shape, or "reshaped", its
            weight as a matrix, whatever the shape.

    Raises `InputError` for another layer, and for a shape that it does not take.

    >>> layer_operator(nn.Conv2d(3, 8, 3, stride=2), (3, 9, 7)).output_shape
    (8, 4, 3)
    """
    if kind == "reshaped" or not isinstance(layer, _ConvNd):
        return MatrixOperator.of(layer)
    return ConvOperator.of(layer, input_shape)


@torch.no_grad()
def dense_operator(
    layer: nn.Module,
    input_shape: Sequence[int] | None = None,
    kind: Literal["conv", "reshaped"] = "conv",
) -> Float[Tensor, "m n"]:
    """Return the matrix of a layer as a linear map, by applying it to the identity.

    For small layers: a convolution 32→64 of 16×16 pixels has 134 million entries. The arguments and
    the errors are those of `layer_operator`.

    >>> layer = nn.Conv1d(1, 1, 2, bias=False)
    >>> _ = layer.weight.data.copy_(torch.tensor([[[1.0, 2.0]]]))
    >>> dense_operator(layer, (1, 3))
    tensor([[1., 2., 0.],
            [0., 1., 2.]])
    """
    operator = layer_operator(layer, input_shape, kind)
    weight: Tensor = layer.weight.detach()  # type: ignore[operator]
    identity = torch.eye(math.prod(operator.input_shape), dtype=weight.dtype, device=weight.device)
    columns = [
        operator.apply(weight, part.view(-1, *operator.input_shape)).flatten(1)
        for part in torch.split(identity, _CHUNK)
    ]
    return torch.cat(columns).T
