"""Where the restarts of an attack begin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from jaxtyping import Int64
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.criteria import Targeted
from saddlepoint.attacks.core.linearise import rivals
from saddlepoint.attacks.core.steps import start_of
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.streams import Stream
from saddlepoint.threat import Ascendable

_ALL = 1 << 30
_WIDER = 2.0


def elsewhere(batch: Batch, restart: int, corner: bool) -> Batch:
    """Return the batch with draws of its own, and a start drawn from the ball."""
    batch = replace(batch, keys=batch.keys.split(Stream.RESTARTS + restart), starts=None)
    if not isinstance(batch.threat, Ascendable):
        return batch
    drawn = start_of(batch, "uniform", 0, corner)
    return replace(batch, starts=batch.render(drawn))


def other_ways(batch: Batch, tracker: Tracker, restarts: int) -> Iterator[Batch]:
    """Yield a batch for each restart after the first: by turns towards the next class that was not
    found, the likeliest first, and from a point up to twice as far as the nearest success.
    """
    classes = _not_found(batch, tracker)
    for restart in range(1, restarts):
        turn, at_random = divmod(restart - 1, 2)
        if not at_random and classes is not None and turn < classes.shape[1]:
            yield replace(batch, criterion=Targeted(), goals=classes[:, turn], starts=None)
        else:
            yield _farther(batch, tracker, restart, corner=turn % 2 == 1)


def _not_found(batch: Batch, tracker: Tracker) -> Int64[Tensor, "m k"] | None:
    """Return the classes that were not found, the likely ones first."""
    likely = batch.logits(batch.clean)
    found = batch.logits(batch.threat.parametrise(tracker.images[batch.index])).argmax(1)
    least = likely.amin(1, keepdim=True) - 1
    ranked = rivals(batch, likely.scatter(1, found[:, None], least), _ALL)
    return None if ranked is None else ranked[:, :-1]  # the last is the one that was found


def _farther(batch: Batch, tracker: Tracker, restart: int, corner: bool) -> Batch:
    """Return the batch with draws of its own, and a start around the nearest success's distance."""
    low, high = batch.bounds
    farthest = batch.ball.norm(torch.maximum(high - batch.clean, batch.clean - low))
    radius = (_WIDER * tracker.distance[batch.index]).to(farthest.dtype).minimum(farthest)
    near = replace(batch, threat=batch.normed.with_eps(radius.nan_to_num(posinf=1.0)))
    return replace(elsewhere(near, restart, corner), threat=batch.threat)
