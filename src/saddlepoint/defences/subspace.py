"""Several singular vectors followed at once, where power iteration with one vector falls behind."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.defences.linear_operator import Operator, layer_operator
from saddlepoint.defences.power_iteration import normalised


@torch.no_grad()
def follow(
    operator: Operator,
    weight: Tensor,
    u: Float[Tensor, "*m"],
    v: Float[Tensor, "k *n"],
    p: Float[Tensor, "k *n"],
    iterations: int,
    *,
    apart: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return u, v and p after that many iterations; then σ = ⟨u, A v₁⟩ = ‖A v₁‖.

    A power iteration leaves v in the span of AᵀA v. Here the new v are the k best vectors in the
    span of v, AᵀA v and p, the last moves of v: those for which ‖A v‖ is largest (Rayleigh-Ritz).
    That is as conjugate gradients are to steepest descent, and with k vectors a second singular
    value that overtakes the first finds its vector there already. Locally optimal block conjugate
    gradients for AᵀA, after Knyazev 2001, SIAM J. Sci. Comput. 23(2), but without the residual's
    preconditioner; the applications of A are 4k, those of Aᵀ k.

    Where the weight is zero or not finite, everything stays as it is.

    Args:
        operator: of the layer.
        weight: of the layer, in float32 or float64.
        u: left vector to the first of v.
        v, p: right vectors, the best first, and their last moves; any independent ones to begin with.
        iterations: how many.
        apart: the shapes are (g, n) and (g, m), and each of g blocks has vectors of its own.

    >>> layer = nn.Linear(9, 9)
    >>> _ = layer.weight.data.copy_(torch.diag(torch.arange(1.0, 10.0)))
    >>> start = torch.randn(2, 2, 1, 9, generator=torch.Generator().manual_seed(0))
    >>> operator = layer_operator(layer)
    >>> u, v, _ = follow(operator, layer.weight, torch.zeros(1, 9), *start, 10)
    >>> round((u * operator.apply(layer.weight, v[0])).sum().item(), 4)
    9.0
    """
    k, dim = len(v), -1 if apart else None
    for _ in range(iterations):
        # Rows of a matrix, one per block: [g, k, n], and [1, k, N] of a whole operator.
        V, P = _rows(v, apart), _rows(p, apart)
        left = _rows(operator.apply(weight, v), apart)
        left = _back(normalised(left, torch.zeros_like(left), -1), operator.output_shape, apart)
        G = _rows(operator.adjoint(weight, left), apart)
        basis = torch.linalg.qr(torch.cat([V, G, P], -2).mT)[0].mT  # [g, ≤ 3k, n], orthonormal
        pushed = _rows(operator.apply(weight, _back(basis, operator.input_shape, apart)), apart)
        size = torch.linalg.vector_norm(pushed, dim=(-2, -1), keepdim=True)
        sound = size.isfinite() & (size > 0)
        pushed = torch.where(sound, pushed / size, 0)  # its squares neither under- nor overflow
        identity = torch.eye(basis.shape[-2], dtype=basis.dtype, device=basis.device)
        # eigh refuses what is not finite.
        mix = torch.linalg.eigh(torch.where(sound, pushed @ pushed.mT, identity))[1]
        mix = mix[..., -k:].flip(-1).mT  # [g, k, ≤ 3k], the best first
        v = _back(torch.where(sound, mix @ basis, V), operator.input_shape, apart)
        moves = mix[..., k:] @ basis[..., k:, :]
        p = _back(torch.where(sound, moves, P), operator.input_shape, apart)
        best = _back(mix[..., :1, :] @ pushed, operator.output_shape, apart)[0]
        u = normalised(best, u, dim)
    return u, v, p


def _rows(x: Tensor, apart: bool) -> Tensor:
    """Return k vectors as the rows of a matrix per block."""
    return x.transpose(0, 1) if apart else x.flatten(1).unsqueeze(0)


def _back(rows: Tensor, shape: tuple[int, ...], apart: bool) -> Tensor:
    """Return the vectors in their own shape, the inverse of `_rows`."""
    return rows.transpose(0, 1) if apart else rows[0].reshape(-1, *shape)
