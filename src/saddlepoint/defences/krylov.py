"""The largest singular value in a Krylov space, where power iteration alone falls behind."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.defences.linear_operator import Operator
from saddlepoint.defences.power_iteration import normalised


@torch.no_grad()
def follow(
    operator: Operator,
    weight: Tensor,
    u: Float[Tensor, "*m"],
    v: Float[Tensor, "*n"],
    iterations: int,
    vectors: int,
    *,
    blocks: int = 1,
) -> tuple[Float[Tensor, "*m"], Float[Tensor, "*n"]]:
    """Return the left and right vectors after that many iterations; then σ = ⟨u, A v⟩ = ‖A v‖ ≥ 0.

    With B = AᵀA, an iteration of the power method replaces v by B v. This one replaces it by the
    best of the span of v, Bv, B²v …: the v of that many dimensions for which ‖A v‖ is largest. It
    applies A and Aᵀ that many times, each once to each of an orthonormal basis, and needs the
    square root of the iterations: restarted Lanczos bidiagonalisation, fully reorthogonalised.
    After Golub and Kahan 1965, SIAM J. Numer. Anal. 2(2).

    Where the weight is zero or not finite, u and v stay as they are.

    Args:
        operator: of the layer.
        weight: of the layer, in float32 or float64.
        u, v: left and right vector to start from; u matters only where it has to stay.
        iterations: how many.
        vectors: of the basis, at least 2, for v and B v.
        blocks: A is block-diagonal, in that many equal blocks along the first axes: the groups of a
            convolution. Each has vectors of its own, of length 1: what one block knows is nothing
            to the others, and one that overtakes would be found through rounding errors alone.

    >>> from saddlepoint.defences.linear_operator import layer_operator
    >>> layer = torch.nn.Linear(9, 9)
    >>> _ = layer.weight.data.copy_(torch.diag(torch.arange(1.0, 10.0)))
    >>> operator, start = layer_operator(layer), torch.ones(1, 9)
    >>> u, v = follow(operator, layer.weight, start, start, 2, 5)
    >>> round((u * operator.apply(layer.weight, v)).sum().item(), 2)
    9.0
    """
    peak = weight.abs().max()  # squares of what is scaled by it neither under- nor overflow
    weight = torch.where(peak > 0, weight / peak, weight)
    u_rows, v_rows = (x.reshape(blocks, -1) for x in (u, v))  # [g, m] and [g, n]
    for _ in range(iterations):
        new = normalised(v_rows, v_rows, -1)
        basis, pushed = new.unsqueeze(1), v_rows.new_zeros(len(u_rows), 0, u_rows.shape[-1])
        while True:
            image = operator.apply(weight, new.reshape(operator.input_shape)).reshape(u_rows.shape)
            pushed = torch.cat([pushed, image.unsqueeze(1)], 1)
            if basis.shape[1] == vectors:
                break
            back = operator.adjoint(weight, image.reshape(operator.output_shape))
            new = _orthogonal(back.reshape(v_rows.shape), basis)
            basis = torch.cat([basis, new.unsqueeze(1)], 1)
        size = torch.linalg.vector_norm(pushed, dim=(1, 2), keepdim=True)
        sound = size.isfinite() & (size > 0)
        pushed = torch.where(sound, pushed, 0)  # eigh refuses what is not finite
        # The best combination has the top eigenvector of the Gram matrix.
        best = torch.linalg.eigh(pushed @ pushed.mT)[1][:, None, :, -1]
        found = (best @ basis).squeeze(1)
        v_rows = torch.where(sound.squeeze(1), normalised(found, v_rows, -1), v_rows)
        u_rows = normalised((best @ pushed).squeeze(1), u_rows, -1)
    return u_rows.reshape(u.shape), v_rows.reshape(v.shape)


def _orthogonal(x: Float[Tensor, "g n"], basis: Float[Tensor, "g j n"]) -> Float[Tensor, "g n"]:
    """Return the part of x orthogonal to the basis, normalised; zero where there is none left."""

    def less(y: Tensor) -> Tensor:
        inside = (basis @ y.unsqueeze(-1)).mT @ basis
        return y - inside.squeeze(1)

    once = less(x)
    twice = less(once)  # of rounding errors too
    before, after = (torch.linalg.vector_norm(y, dim=-1, keepdim=True) for y in (once, twice))
    return torch.where(after > before / 2, twice / after, 0)  # else it is all rounding errors
