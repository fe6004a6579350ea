"""Leaving out the branch of a residual block, sample by sample."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.errors import InputError


class DropPath(nn.Module):
    """Stochastic depth: in training a sample's branch is 0 with probability p, else divided by 1 − p.

    Huang et al., Deep Networks with Stochastic Depth, 2016, arXiv:1603.09382. `p` may be changed
    between steps. Raises `InputError` for a p outside [0, 1).

    >>> layer = DropPath(0.5)
    >>> sorted(set(layer(torch.ones(64, 3)).flatten().tolist()))
    [0.0, 2.0]
    >>> layer.eval()(torch.ones(1, 3))
    tensor([[1., 1., 1.]])
    """

    def __init__(self, p: float = 0.0) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise InputError(f"drop_path is {p:g}; give a probability below 1")
        self.p = p

    def forward(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return the branch, or 0 in its place."""
        if not self.training or not self.p:
            return x
        kept = torch.empty(x.shape[:1] + (1,) * (x.ndim - 1), dtype=x.dtype, device=x.device)
        return x * kept.bernoulli_(1 - self.p).div_(1 - self.p)

    def extra_repr(self) -> str:
        """Return what the layer's line says of it."""
        return f"p={self.p:g}"


def rising(last: float, blocks: int) -> list[float]:
    """Return a probability for each block, from 0 for the first to `last`, in equal steps.

    >>> rising(0.2, 3)
    [0.0, 0.1, 0.2]
    """
    return [last * i / max(blocks - 1, 1) for i in range(blocks)]
