"""Sparse-RS: random search over which features change, which needs the model's scores and no gradient."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import FixedBudget
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.option_values import Count, Share
from saddlepoint.threat import L0
from saddlepoint.threat.norms import expand, largest_k

# Of 10,000 queries: after each of these the share of places that are exchanged is p over the second.
_SCHEDULE = (
    (0, 2),
    (50, 4),
    (200, 5),
    (500, 6),
    (1000, 8),
    (2000, 10),
    (4000, 12),
    (6000, 15),
    (8000, 20),
)
# Numbers drawn together for a sample: one draw per query would cost more than a small network's pass.
_DRAWN = 1 << 17


@dataclass(frozen=True, kw_only=True)
class SparseRS(FixedBudget):
    """Random search in L0: some of the changed places go back, as many others get an end of the range
    each, kept if the margin falls.

    As many places as the budget allows are changed at every query. A place is a feature, or all
    channels of a pixel. Every sample has draws of its own.

    Args:
        threat: L0.
        queries: forward passes per image at most; the last one confirms what is returned.
        p: the share of the changed places that are exchanged at first; it falls to a twentieth on the
            way, and is one place at least.

    >>> class Count(torch.nn.Module):
    ...     def forward(self, x):
    ...         lit = (x.detach() > 0.9).double().sum(1)
    ...         return torch.stack([1.5 - lit, lit - 1.5], 1)
    >>> images, labels = torch.full((1, 9), 0.5), torch.tensor([0])
    >>> [bool(SparseRS(L0(k), queries=50)(Count(), images, labels).success) for k in (1, 2)]
    [False, True]
    """

    queries: Count = 5000
    p: Share = 0.3

    norms = ("L0",)
    paper = "Croce et al. 2022, arXiv:2006.12834"
    cost = "queries (5000) forward"
    gradient_free = True

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Exchange places, ask the model, and keep what lowers the margin."""
        ball = batch.ball
        assert isinstance(ball, L0)
        group = ball.group(batch.images)
        places = batch.clean[0].numel() // group if len(batch) else 1
        free = _free(batch, group)
        count = torch.minimum(batch.threat.radius(batch.images).long(), free.sum(1))
        changed = torch.zeros_like(free)
        numbers = 2 * places + places * group
        at_once = max(1, _DRAWN // numbers)
        x, margin = batch.clean, torch.full_like(batch.clean.flatten(1)[:, 0], torch.inf)
        for query in range(self.queries - 1):
            part, row = divmod(query, at_once)
            if row == 0:
                draws = batch.keys.uniform((at_once, numbers), step=part, draw=1)
            back, new = draws[:, row, : 2 * places].reshape(len(batch), 2, places).unbind(1)
            swapped = count
            if query:
                swapped = (count * self._share(query)).long().clamp_min(1).minimum(count)
            gone = _some(back, changed, swapped)
            fresh = _some(new, free & ~changed, swapped)
            # Where every place is changed already, those that went back get another value.
            fresh = torch.where(fresh.any(1, keepdim=True), fresh, gone)
            z = torch.where(_entries(gone, group, x), batch.clean, x)
            z = torch.where(_entries(fresh, group, x), _ends(batch, draws[:, row, 2 * places :]), z)
            logits = batch.logits(z)
            tracker.record(batch, z, logits)
            now = batch.margin(logits).to(margin.dtype)
            better = now < margin
            x, margin = torch.where(expand(better, x), z, x), torch.where(better, now, margin)
            changed = torch.where(better[:, None], (changed & ~gone) | fresh, changed)
            batch, (x, margin, changed, free, count, draws) = tracker.compact(
                batch, x, margin, changed, free, count, draws
            )
            if not len(batch):
                return
        tracker.offer(batch, x)

    def _share(self, query: int) -> float:
        by = [divisor for after, divisor in _SCHEDULE if query * 10_000 > after * self.queries]
        return self.p / by[-1] if by else self.p


def _free(batch: Batch, group: int) -> Bool[Tensor, "m places"]:
    """Return which places may change at all."""
    low, high = batch.bounds
    return (high > low).flatten(1).reshape(len(batch), group, -1).any(1)


def _some(
    u: Float[Tensor, "m places"], of: Bool[Tensor, "m places"], count: Int64[Tensor, " m"]
) -> Bool[Tensor, "m places"]:
    """Return `count` of the places in `of`, or all where there are fewer."""
    return largest_k(torch.where(of, u, -1.0), torch.minimum(count, of.sum(1))) & of


def _entries(places: Bool[Tensor, "m places"], group: int, x: Tensor) -> Bool[Tensor, "m ..."]:
    """Return the features of these places."""
    return places.repeat(1, group).reshape(x.shape)


def _ends(batch: Batch, u: Float[Tensor, "m d"]) -> Float[Tensor, "m ..."]:
    """Return for each feature an end of the range at random, the other one where it has that already."""
    low, high = batch.bounds
    low = torch.where(low.isfinite(), low, batch.clean - 1)
    high = torch.where(high.isfinite(), high, batch.clean + 1)
    up = (u < 0.5).reshape(low.shape)
    up = torch.where(batch.clean == high, False, torch.where(batch.clean == low, True, up))
    return torch.where(up, high, low)
