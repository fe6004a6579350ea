"""The best pair of features by the product of two sums, without looking at all pairs."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

_CANDIDATES = 32
# Entries of a table of pairs that is looked at in one go.
_AT_ONCE = 1 << 18
# Features whose pairs are all looked at, at most.
_MOST = 4096
# How often the features that are left tighten each other's bounds.
_TIGHTENED = 8


def best_pairs(
    a: Float[Tensor, "m n"],
    b: Float[Tensor, "m n"],
    free: Bool[Tensor, "m n"],
    candidates: int = _CANDIDATES,
) -> tuple[Int64[Tensor, "m 2"], Bool[Tensor, " m"]]:
    """Return the p < q of largest (a_p + a_q)·(b_p + b_q), both sums positive, and whether there
    is one.

    A feature p is in no pair better than U_p = (a_p + max a)·(b_p + max b), nor, for any λ > 0, than
    ((s_p + max s)/2)² with s = λa + b/λ (the geometric mean is at most the arithmetic one). The
    best pair among the features of largest U, or if those have none a pair found by sorting, bounds
    the answer from below and says which λ is tight; only where others reach it by both bounds are
    those looked at too. Equal pairs: the first in the order of (p, q). Whether there is a pair is
    exact, and so is which one, unless more than 4096 features are left: then it is the best of the
    4096 with the largest bounds.

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
    bound = _bound(a, b)
    count = min(max(candidates, 2), n)
    value, pairs = _among(a, b, bound, count)
    open_ = ((bound >= value[:, None]) & (bound > -torch.inf)).sum(1) > 2
    more = (open_ & (count < n)).nonzero().squeeze(1)
    if len(more):
        value[more], pairs[more] = _beyond(a[more], b[more], value[more], pairs[more])
    return pairs, value > -torch.inf


def _bound(a: Tensor, b: Tensor) -> Float[Tensor, "m n"]:
    """Return what no pair of each feature exceeds; −∞ where a sum cannot be positive."""
    left, right = (each + each.amax(1, keepdim=True) for each in (a, b))
    return torch.where((left > 0) & (right > 0), left * right, -torch.inf)


def _beyond(a: Tensor, b: Tensor, value: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor]:
    """Return the best pair and its value, given the best of a few features, or −∞ for none."""
    unknown = (value == -torch.inf).nonzero().squeeze(1)
    if len(unknown):
        value[unknown], pairs[unknown] = _sorted_pair(a[unknown], b[unknown])
    rows = (value > -torch.inf).nonzero().squeeze(1)
    if not len(rows):
        return value, pairs
    left, right, at_least, known = a[rows], b[rows], value[rows], pairs[rows]
    for _ in range(_TIGHTENED):  # both of a better pair are among those left
        bound = _bound(left, right)
        rivals = (bound >= at_least[:, None]) & _near(
            left, right, a[rows], b[rows], known, at_least
        )
        if torch.equal(rivals, left > -torch.inf):
            break
        left, right = (torch.where(rivals, each, -torch.inf) for each in (left, right))
    bound = torch.where(rivals, bound, -torch.inf)
    most = min(_MOST, int(rivals.sum(1).max()))
    if most >= 2:
        found, which = _among(left, right, bound, most)
        won = found >= at_least  # of equal pairs the first, which is among those left
        value[rows] = torch.where(won, found, at_least)
        pairs[rows] = torch.where(won[:, None], which, known)
    return value, pairs


def _sorted_pair(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return the value and the indices of a good pair, −∞ only where there is none.

    In the order of falling a, each feature's partner is the one of largest b among those before it
    whose a is large enough.
    """
    order = a.argsort(dim=1, descending=True, stable=True)
    a, b = a.gather(1, order), b.gather(1, order)
    largest, place = b.cummax(1)
    number = torch.arange(a.shape[1], device=a.device).expand_as(a).contiguous()
    before = torch.searchsorted(-a, a).minimum(number)  # so many have a_p > −a_q
    last = (before - 1).clamp_min(0)
    partner = place.gather(1, last)
    left, right = a + a.gather(1, partner), b + largest.gather(1, last)
    good = (before > 0) & (left > 0) & (right > 0)
    value, at = torch.where(good, left * right, -torch.inf).max(1)
    both = torch.stack([partner.gather(1, at[:, None])[:, 0], at], dim=1)
    return value, order.gather(1, both).sort(dim=1).values


def _near(
    a: Tensor, b: Tensor, whole_a: Tensor, whole_b: Tensor, pairs: Tensor, value: Tensor
) -> Bool[Tensor, "m n"]:
    """Return which features reach `value` by the bound that is tight at the pair."""
    left, right = (each.gather(1, pairs).sum(1) for each in (whole_a, whole_b))
    slope = (right / left).sqrt().clamp(1e-9, 1e9)[:, None]  # every λ > 0 gives a bound
    s = slope * a + b / slope
    least = 2 * value.sqrt()[:, None]
    # A little less, for the rounding of the roots.
    return s + s.amax(1, keepdim=True) >= least - 1e-4 * least


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
