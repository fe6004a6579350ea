"""Starts that fool already: random images, pulled to the boundary, the nearest of several."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.threat import Holding
from saddlepoint.threat.norms import expand


def from_outside(
    batch: Batch, tracker: Tracker, starts: int, draws: int, halvings: int
) -> Float[Tensor, "m ..."]:
    """Return a fooling image near the boundary for each sample, or the clean image where none of
    the random images fooled.

    Where something is kept that fools (given starts, an earlier run), the start is that. Else
    `draws` images at most are drawn until `starts` of them fool, by turns uniformly from the range
    and from its two ends, of embeddings, which have no range, as `far_start`; the segment from each to
    the clean image is halved as often as asked, and the nearest point that fools is the start.
    """
    low, high = batch.bounds
    waiting = tracker.distance[batch.index].isinf()
    open_ended = ~(high - low).isfinite()
    least, most = torch.where(open_ended, 0.0, low), torch.where(open_ended, 1.0, high)
    wanted = torch.where(waiting, starts, 0)
    for draw in range(draws):
        rows = (wanted > 0).nonzero().squeeze(1)
        if not len(rows):
            break
        some = batch.at(rows)
        if isinstance(batch.threat, Holding):
            z = far_start(some, draw)
        else:
            noise = some.keys.uniform(low.shape[1:], step=0, draw=draw).to(low.dtype)
            z = torch.lerp(least[rows], most[rows], noise.round() if draw % 2 else noise)
        logits = some.logits(z)
        tracker.record(some, z, logits)
        fooled = (some.margin(logits) < 0).nonzero().squeeze(1)
        wanted[rows[fooled]] -= 1
        if len(fooled):
            _towards_clean(some.at(fooled), tracker, z[fooled], halvings)
    found = expand(tracker.distance[batch.index].isfinite(), batch.clean)
    kept = batch.threat.parametrise(tracker.images[batch.index])
    return torch.where(found, kept.to(batch.clean.dtype), batch.clean)


def far_start(batch: Batch, draw: int) -> Float[Tensor, "m ..."]:
    """Return random parameters by turns up to 1, 10, 100 and 1,000 budget units away: what is drawn from
    where a range has no ends.

    The draws depend on what may move alone, not on how far a sentence is padded.
    """
    radius = torch.full((len(batch),), 10.0 ** (draw % 4), device=batch.clean.device)
    return batch.random_start(restart=draw, radius=radius)


def _towards_clean(batch: Batch, tracker: Tracker, x: Tensor, halvings: int) -> None:
    """Record points of the segments to the clean images, ever nearer to the boundary."""
    inner = torch.zeros_like(tracker.distance[batch.index])
    outer = torch.ones_like(inner)
    for _ in range(halvings):
        share = (inner + outer) / 2
        z = torch.lerp(batch.clean, x, expand(share, x).to(x.dtype))
        logits = batch.logits(z)
        tracker.record(batch, z, logits)
        fooled = batch.margin(logits) < 0
        inner, outer = torch.where(fooled, inner, share), torch.where(fooled, share, outer)
