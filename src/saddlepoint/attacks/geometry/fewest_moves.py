"""The point of a hyperplane in a box and a Euclidean trust region that differs from the clean image in
few entries.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.attacks.geometry.half_spaces import project_halfspace

_HALVINGS = 4
_CLOSE = 1e-9
_TINY = 1e-300


def fewest_moves(
    clean: Float[Tensor, "m d"],
    x: Float[Tensor, "m d"],
    normal: Float[Tensor, "m d"],
    offset: Float[Tensor, " m"],
    low: Float[Tensor, "m d"],
    high: Float[Tensor, "m d"],
    near: Float[Tensor, "m d"],
    radius: Float[Tensor, " m"],
) -> Float[Tensor, "m d"]:
    """Return points of {⟨normal, z⟩ = offset, ‖z − x‖₂ ≤ radius, low ≤ z ≤ high} of which few entries
    differ from the clean image.

    The entries that move are those of the Lagrangian: for the multiplier ν of the hyperplane, what an
    entry saves by moving (z = x − ν·normal, clipped) rather than going back to the clean image puts the
    entries in order, and as many go back, the cheapest first, as the trust region has room for. How many
    that is is estimated without the bounds, and then halved until the exact projection is inside.

    Args:
        clean, x: (m, d) inside of the box, in float64.
        normal: (m, d), its largest entry 1.
        near: (m, d) the point of the hyperplane nearest to `x`: what is returned where nothing can be
            spared.
        radius: (m,) of the trust region.

    >>> clean, x = torch.zeros(1, 3).double(), torch.tensor([[0.1, 0.6, 0.1]]).double()
    >>> w, b, one = torch.ones(1, 3).double(), torch.tensor([0.8]).double(), torch.ones(1, 3).double()
    >>> fewest_moves(clean, x, w, b, clean, one, x, torch.tensor([0.5]).double())
    tensor([[0.0000, 0.8000, 0.0000]], dtype=torch.float64)
    """
    back, squared = clean - x, radius.square()
    need = offset - (normal * x).sum(1)
    nu = -need / normal.square().sum(1).clamp_min(_TINY)
    # ½·(moves² + 2ν·normal·moves) is what an entry adds to the Lagrangian
    free = (x - nu[:, None] * normal).clamp(low, high) - x
    shift = 2 * nu[:, None] * normal
    order = (back * (back + shift) - free * (free + shift)).argsort(dim=1)
    a, w = back.gather(1, order), normal.gather(1, order)
    moving = torch.where(free.gather(1, order) != 0, w.square(), 0.0)
    left = moving.sum(1, keepdim=True) - moving.cumsum(1)
    missing = need[:, None] - (w * a).cumsum(1)
    used = a.square().cumsum(1) + missing.square() / left.clamp_min(_TINY)
    count = torch.arange(1, normal.shape[1] + 1, device=normal.device)
    most = torch.where(used <= squared[:, None], count, 0).amax(1)
    place = torch.empty_like(order).scatter(1, order, (count - 1).expand_as(order))
    # where the trust region holds it, the clean image's own projection is the answer
    result = project_halfspace(clean, normal, offset, low, high, 0.0, equality=True)
    free_of_it = _on(result, normal, offset) & ((result - x).square().sum(1) <= squared)
    result = torch.where(free_of_it[:, None], result, near)
    fewest = (result != clean).sum(1)
    least, tried = torch.zeros_like(most), most
    for _ in range(_HALVINGS):
        moves = place >= tried[:, None]
        z = project_halfspace(
            torch.where(moves, x, clean),
            normal,
            offset,
            torch.where(moves, low, clean),
            torch.where(moves, high, clean),
            2.0,
            equality=True,
        )
        fits = _on(z, normal, offset) & ((z - x).square().sum(1) <= squared)
        number = (z != clean).sum(1)
        better = fits & (number < fewest)
        result = torch.where(better[:, None], z, result)
        fewest = torch.where(better, number, fewest)
        least, most = torch.where(fits, tried, least), torch.where(fits, most, tried)
        tried = (least + most) // 2
    return result


def _on(z: Tensor, normal: Tensor, offset: Tensor) -> Tensor:
    terms = normal * z
    return (terms.sum(1) - offset).abs() <= _CLOSE * (terms.abs().sum(1) + offset.abs())
