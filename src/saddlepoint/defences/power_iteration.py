"""Power iteration: the largest singular value without a decomposition."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from saddlepoint.defences.linear_operator import Operator, layer_operator
from saddlepoint.errors import InputError
from saddlepoint.streams import generator

Start = Literal["random", "ones"]


def start_vector(shape: Sequence[int], start: Start, *key: int | str) -> Tensor:
    """Return the vector that power iteration starts from, in float64 on the CPU.

    "ones" is that of the nine-defences report; it fails where it is orthogonal to the top singular
    vector. "random" is normal, the same for the same key on every device, and orthogonal to it with
    probability zero.

    >>> start_vector((2,), "ones")
    tensor([1., 1.], dtype=torch.float64)
    """
    if start == "ones":
        return torch.ones(*shape, dtype=torch.float64)
    rng = generator(0, "power iteration", *key)
    return torch.randn(*shape, dtype=torch.float64, generator=rng)


def normalised(x: Tensor, otherwise: Tensor, dim: int | None = None) -> Tensor:
    """Return x/‖x‖₂, over all entries or along `dim`; where x is zero, `otherwise`.

    A weight of zeros would else make the vector zero, and leave it so for good.

    >>> normalised(torch.tensor([3.0, 4.0]), torch.ones(2))
    tensor([0.6000, 0.8000])
    >>> normalised(torch.zeros(2), torch.ones(2))
    tensor([1., 1.])
    """
    norm = torch.linalg.vector_norm(x, dim=dim, keepdim=True)
    return torch.where(norm > 0, x / norm, otherwise)


@torch.no_grad()
def iterate(
    operator: Operator,
    weight: Tensor,
    u: Tensor,
    v: Tensor,
    iterations: int,
    *,
    as_published: bool = False,
    dim: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the left and right vectors after that many iterations; then σ = ⟨u, A v⟩.

    Algorithms 3 and 4 of the nine-defences report, where v is updated with the *new* u, so that A v
    and u point the same way and σ = ‖Aᵀu‖ ≥ 0. As published, both are updated with the old vectors:
    two chains that do not meet, and a σ that may be negative. Along `dim` each vector of a stack is
    one of its own.

    >>> layer = nn.Linear(2, 2)
    >>> _ = layer.weight.data.copy_(torch.diag(torch.tensor([3.0, 1.0])))
    >>> operator = layer_operator(layer)
    >>> u, v = iterate(operator, layer.weight, torch.ones(1, 2), torch.ones(1, 2), 20)
    >>> round((u * operator.apply(layer.weight, v)).sum().item(), 4)
    3.0
    """
    for _ in range(iterations):
        old = u
        u = normalised(operator.apply(weight, v), u, dim)
        v = normalised(operator.adjoint(weight, old if as_published else u), v, dim)
    return u, v


@torch.no_grad()
def singular_value(
    layer: nn.Module,
    input_shape: Sequence[int] | None = None,
    *,
    kind: Literal["conv", "reshaped"] = "conv",
    start: Start = "random",
    iterations: int = 10_000,
    tolerance: float = 1e-4,
) -> float:
    """Return the largest singular value of a layer as a linear map, by power iteration in float64.

    Args:
        layer: a convolution, also transposed, or a linear layer.
        input_shape: (C, H, W) of what a convolution acts on, without the batch.
        kind: "conv", the map that a convolution applies to inputs of that shape, or "reshaped", its
            weight as a matrix.
        start: of the iteration; see `start_vector`.
        iterations: at most.
        tolerance: stop where ‖AᵀA v − σ² v‖ ≤ tolerance · σ². A singular value is then that near
            to σ, relatively; but for a start that misses it, the largest.

    Whenever it stops, the result is a lower bound. Raises `InputError` for another layer or a shape
    that it does not take; warns where the iterations do not reach the tolerance.

    >>> layer = nn.Linear(2, 2)
    >>> _ = layer.weight.data.copy_(torch.diag(torch.tensor([3.0, 1.0])))
    >>> round(singular_value(layer), 6)
    3.0
    """
    if iterations < 1:
        raise InputError(f"iterations is {iterations}; give at least 1")
    operator = layer_operator(layer, input_shape, kind)
    weight: Tensor = layer.weight.detach().double()  # type: ignore[operator]
    v = start_vector(operator.input_shape, start, "singular value").to(weight)
    v = v / torch.linalg.vector_norm(v)
    sigma, residual = 0.0, 0.0
    for _ in range(iterations):
        pushed = operator.apply(weight, v)
        sigma = float(torch.linalg.vector_norm(pushed))
        pulled = operator.adjoint(weight, pushed)
        residual = float(torch.linalg.vector_norm(pulled - sigma**2 * v))
        if residual <= tolerance * sigma**2:
            return sigma
        v = normalised(pulled, v)
    warnings.warn(
        f"after {iterations} iterations the residual is {residual / sigma**2:.1e} of σ²; the result"
        " is a lower bound",
        stacklevel=3,  # past the decorator
    )
    return sigma
