"""Multi-head attention: one layer, whose additive bias says who may look at whom, and how much."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from saddlepoint.errors import InputError
from saddlepoint.zoo.decoding import Cache

Bias = Tensor | Callable[[Tensor], Tensor | None]
"""What is added to QKᵀ/√d before the softmax: a tensor that broadcasts to (..., heads, t, s), −inf
where nothing may be looked at; or what makes one, or None, of the queries (..., heads, t, d/heads).
"""


class Attention(nn.Module):
    """Multi-head attention softmax(QKᵀ/√d_h + B)V, of tokens among themselves or to others.

    Vaswani et al., Attention Is All You Need, 2017, arXiv:1706.03762. Windows, relative positions,
    causality and padding are terms of the bias B. `qkv` holds the three projections under each
    other, as torch's and timm's do.

    It runs in torch's `scaled_dot_product_attention`. The fused kernels have no second derivative:
    whoever differentiates twice (curvature, Hessian products) does so under
    `torch.nn.attention.sdpa_kernel(SDPBackend.MATH)`.

    Args:
        d: features of a token.
        heads: how many heads share them.
        qkv_bias: whether the projections have a bias.
        dropout: share of the attention that is dropped in training.
        d_k: features of a query and of a key in each head, d_h; None is d/heads, which values have.

    Raises `InputError` where the heads do not divide d.

    >>> import torch
    >>> Attention(12, 3)(torch.rand(2, 5, 12)).shape
    torch.Size([2, 5, 12])
    """

    def __init__(
        self,
        d: int,
        heads: int,
        *,
        qkv_bias: bool = True,
        dropout: float = 0.0,
        d_k: int | None = None,
    ) -> None:
        super().__init__()
        if heads < 1 or d < 1 or d % heads:
            good = [h for h in range(1, d + 1) if d % h == 0]
            near = min(good, key=lambda h: abs(h - heads), default=1)
            raise InputError(
                f"{d} features do not divide among {heads} heads; give for instance {near}"
            )
        self.d, self.heads, self.dropout = d, heads, dropout
        keys = d if d_k is None else heads * d_k
        self.sizes = keys, keys, d
        self.qkv = nn.Linear(d, sum(self.sizes), bias=qkv_bias)
        self.out = nn.Linear(d, d)
        self.recorder: Callable[[Tensor], None] | None = None
        """Is given the attention of every pass, in place of the fused kernel; see
        `record_attention`."""

    def forward(
        self,
        q: Float[Tensor, "... t d"],
        kv: Float[Tensor, "... s d"] | None = None,
        bias: Bias | None = None,
        cache: Cache | None = None,
    ) -> Float[Tensor, "... t d"]:
        """Return what each token of `q` gathers from those of `kv`, by default from `q` itself.

        Args:
            q: tokens that ask.
            kv: tokens that are looked at.
            bias: what is added to the logits of the attention.
            cache: keys and values of earlier calls. With `kv` None those of `q` are appended and
                all are looked at; with `kv` they are computed in the first call alone.
        """
        if kv is None:
            query, key, value = self._heads(self.qkv(q), 0, 3)
            if cache is not None:
                key, value = cache.extended(key, value)
        else:
            (query,) = self._projected(q, 0, 1)
            if cache is None:
                key, value = self._projected(kv, 1, 3)
            else:
                key, value = cache.once(kv, lambda: self._projected(kv, 1, 3))
        added = bias(query) if callable(bias) else bias
        found = self._attended(query, key, value, added)
        out: Tensor = self.out(found.transpose(-3, -2).flatten(-2))
        return out

    def extra_repr(self) -> str:
        """Return what the layer's line says of it."""
        return f"{self.d}, heads={self.heads}"

    def _projected(self, x: Tensor, first: int, last: int) -> tuple[Tensor, ...]:
        """Return some of queries, keys and values."""
        rows = slice(sum(self.sizes[:first]), sum(self.sizes[:last]))
        bias = self.qkv.bias
        found = functional.linear(x, self.qkv.weight[rows], None if bias is None else bias[rows])
        return self._heads(found, first, last)

    def _heads(self, x: Tensor, first: int, last: int) -> tuple[Tensor, ...]:
        """Return what lies beside each other in (..., t, sum of sizes) as (..., heads, t, size/heads)."""
        parts = torch.split(x, list(self.sizes[first:last]), -1)
        return tuple(
            torch.unflatten(each, -1, (self.heads, -1)).transpose(-3, -2) for each in parts
        )

    def _attended(
        self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None
    ) -> Float[Tensor, "... h t e"]:
        dropout = self.dropout if self.training else 0.0
        if self.recorder is not None:
            attention = probabilities(query, key, bias)
            self.recorder(attention)
            return functional.dropout(attention, dropout) @ value
        if query.ndim <= 4:
            return functional.scaled_dot_product_attention(query, key, value, bias, dropout)
        # The kernels know four axes: windows are heads to them, and nothing is copied per image.
        inner = query.shape[1:-2]
        if bias is not None:
            bias = bias.expand(*bias.shape[: -len(inner) - 2], *inner, *bias.shape[-2:])
            bias = bias.flatten(-len(inner) - 2, -3)
        query, key, value = (each.flatten(1, -3) for each in (query, key, value))
        found = functional.scaled_dot_product_attention(query, key, value, bias, dropout)
        return torch.unflatten(found, 1, inner)


def probabilities(
    query: Float[Tensor, "... h t e"], key: Float[Tensor, "... h s e"], bias: Tensor | None = None
) -> Float[Tensor, "... h t s"]:
    """Return softmax(QKᵀ/√d_h + B); zeros for a query that may look at nothing, as torch does.

    >>> import torch
    >>> probabilities(torch.zeros(1, 1, 3), torch.zeros(1, 2, 3))
    tensor([[[0.5000, 0.5000]]])
    """
    scores: Tensor = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    if bias is None:
        return scores.softmax(-1)
    scores = scores + bias
    nothing = (bias == -float("inf")).all(-1, keepdim=True)
    return scores.masked_fill(nothing, 0.0).softmax(-1).masked_fill(nothing, 0.0)
