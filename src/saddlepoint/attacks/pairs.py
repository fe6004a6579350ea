"""The best pair of features by the product of two sums, without looking at all pairs."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

_CANDIDATES = 32
# Entries of a table of pairs that is looked at in one go.
_AT_ONCE = 1 << 18


def best_pairs(
    a: Float[Tensor, "m n"],
    b: Float[Tensor, "m n"],
    free: Bool[Tensor, "m n"],
    candidates: int = _CANDIDATES,
) -> tuple[Int64[Tensor, "m 2"], Bool[Tensor, " m"]]:
    """Return the p < q of largest (a_p + a_q)·(b_p + b_q), both sums positive, and whether there
    is one.

    Exact: a feature p is in no pair better than U_p = (a_p + max a)·(b_p + max b), nor, for any
    λ > 0, than ((s_p + max s)/2)² with s = λa + b/λ (the geometric mean is at most the arithmetic
    one). The best pair among the features of largest U bounds the answer from below and says which
    λ is tight; only where others reach it by both bounds are those looked at too. Equal pairs: the
    first in the order of (p, q).

    Args:
        a, b: two scores of each feature.
        free: which features may be in a pair.
        candidates: how many features are looked at first.

    >>> a, b = torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([[1.0, 4.0, -2.0]])
    >>> best_pairs(a, b, torch.ones(1, 3, dtype=torch.bool))
    (tensor([[0, 1]]), tensor([True]))
    """
    n = a.shape[1]
    if n < 2:
        return torch.zeros(len(a), 2, dtype=torch.int64, device=a.device), torch.zeros_like(
            free[:, 0]
        )
    a, b = (torch.where(free, each, -torch.inf) for each in (a, b))
    sums = [each + each.amax(1, keepdim=True) for each in (a, b)]
    bound = torch.where((sums[0] > 0) & (sums[1] > 0), sums[0] * sums[1], -torch.inf)
    count = min(max(candidates, 2), n)
    value, pairs = _among(a, b, bound, count)
    rivals = (bound >= value[:, None]) & (bound > -torch.inf) & _near(a, b, pairs, value)
    more = (rivals.sum(1) > 2).nonzero().squeeze(1)
    if count < n and len(more):
        bound = torch.where(rivals, bound, -torch.inf)[more]
        most = int(rivals[more].sum(1).max())
        value[more], pairs[more] = _among(a[more], b[more], bound, most)
    return pairs, value > -torch.inf


def _near(a: Tensor, b: Tensor, pairs: Tensor, value: Tensor) -> Bool[Tensor, "m n"]:
    """Say which features reach `value` by the bound that is tight at the pair."""
    known = value > -torch.inf
    left, right = (torch.where(known, each.gather(1, pairs).sum(1), 1.0) for each in (a, b))
    slope = (right / left).sqrt().clamp(1e-9, 1e9)[:, None]  # every λ > 0 gives a bound
    s = slope * a + b / slope
    least = 2 * torch.where(known, value, 0.0).sqrt()[:, None]
    # A little less, for the rounding of the roots.
    reach = s + s.amax(1, keepdim=True) >= least - 1e-4 * least
    return reach | ~known[:, None]


def _among(a: Tensor, b: Tensor, bound: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the value and the indices of the best pair among the `count` of largest bound."""
    chosen = bound.topk(count, dim=1).indices.sort(dim=1).values
    a, b = a.gather(1, chosen), b.gather(1, chosen)
    value = torch.full_like(a[:, 0], -torch.inf)
    place = torch.zeros_like(chosen[:, 0])
    number = torch.arange(count, device=a.device)
    rows = max(1, _AT_ONCE // (len(a) * count))
    for first in range(0, count - 1, rows):
        part = slice(first, first + rows)
        left, right = (each[:, part, None] + each[:, None, :] for each in (a, b))
        counts = (left > 0) & (right > 0) & (number[None, :] > number[part, None])
        table = torch.where(counts, left * right, -torch.inf).flatten(1)
        highest, at = table.max(1)
        place = torch.where(highest > value, first * count + at, place)
        value = torch.maximum(value, highest)
    p, q = chosen.gather(1, (place // count)[:, None]), chosen.gather(1, (place % count)[:, None])
    return value, torch.cat([p, q], dim=1)
