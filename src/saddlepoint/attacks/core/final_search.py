"""The end of every minimum-norm attack: pull what was found back towards the clean image."""

from __future__ import annotations

import torch

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.linearise import linearise
from saddlepoint.attacks.core.tracker import Nearest, Tracker
from saddlepoint.attacks.geometry.boundaries import BEYOND


def final_search(batch: Batch, tracker: Tracker, steps: int) -> None:
    """Record nearer fooling points on the way from the kept image to the clean one.

    The way is the norm's own: the kept image projected on balls of falling radius, which for L2 is
    the segment, for Linf clipping, for L1 a soft threshold, and for L0 dropping the smallest
    changes first. Each step narrows the bracket of radii and costs a forward pass, and a sample
    that has reached the boundary takes no more; at 0 steps the attack is as published.

    >>> from saddlepoint.attacks.minimum_norm.ddn import DDN
    >>> from saddlepoint.threat import L2
    >>> net, images, labels = torch.nn.Flatten(), torch.tensor([[0.9, 0.3]]), torch.tensor([0])
    >>> rough, fine = (DDN(L2(), steps=3, gamma=0.5, bisections=n)(net, images, labels) for n in (0, 20))
    >>> bool(fine.distance < rough.distance), f"{float(fine.distance):.3f}"
    (True, '0.424')
    """
    found = batch.at(tracker.distance[batch.index].isfinite())
    if not len(found) or not steps:
        return
    # In full precision: a fast loop's own rounding would keep every result off the boundary.
    with batch.guard.exact():
        if found.ball.p == 0:
            _fewer(found, tracker, steps)
        else:
            _nearer(found, tracker, steps)


def final_projection(batch: Batch, tracker: Tracker, steps: int, classes: int = 1) -> None:
    """Project the clean images on the boundaries linearised at what was found, and `final_search`.

    For an affine model the projection is the optimum. It costs a forward pass, a backward pass for
    each of the `classes` highest other classes, and the judgement of the result. At 0 steps there is
    none.

    >>> from saddlepoint.attacks.minimum_norm.pdpgd import PDGD
    >>> from saddlepoint.threat import L2
    >>> net, images, labels = torch.nn.Flatten(), torch.tensor([[0.9, 0.3]]), torch.tensor([0])
    >>> result = PDGD(L2(), steps=40)(net, images, labels)
    >>> f"{float(result.distance):.4f}"  # 0.6/√2
    '0.4243'
    """
    found = batch.at(tracker.distance[batch.index].isfinite())
    if steps and len(found):
        x = found.threat.parametrise(tracker.images[found.index])
        near = linearise(found, x, classes)
        tracker.offer(found, near.project(found.clean, *found.bounds, found.ball.p, _OVERSHOOT))
    final_search(batch, tracker, steps)


def _fewer(found: Batch, tracker: Tracker, steps: int) -> None:
    """Halve the bracket of the number of features."""
    x = found.threat.parametrise(tracker.images[found.index])
    high = tracker.distance[found.index]
    low = torch.zeros_like(high)
    for _ in range(steps):
        rows = (high - low > 1).nonzero().squeeze(1)  # the others know their number
        if not len(rows):
            return
        found, x, low, high = found.at(rows), x[rows], low[rows], high[rows]
        radius = ((low + high) / 2).floor()
        z = found.shrunk(x, radius)
        tracker.record(found, z, found.logits(z))
        # What was kept as a success, not merely a negative margin, moves the upper end.
        length = tracker.distance[found.index]
        low, high = torch.where(length < high, low, radius), length


# The projection goes so far beyond the boundary, as a part of the margin at the image.
_OVERSHOOT = 0.02
_FIRST_WIDTH = 1 / 64
_NARROW = 1e-5


def _nearer(found: Batch, tracker: Tracker, steps: int) -> None:
    """Close in on the radius at which the margin vanishes, by false position and, every third time,
    a halving.

    What an attack found is close to the boundary, so the first looks go a little inwards, further
    each time, until one no longer fools; from there on the margin is known on both sides.
    """
    x = found.threat.parametrise(tracker.images[found.index])
    high = tracker.distance[found.index]
    low, inner = torch.zeros_like(high), torch.full_like(high, torch.nan)
    outer = torch.full_like(high, -1)
    if isinstance(tracker, Nearest):
        outer = tracker.margin[found.index].to(high.dtype)
    beyond = torch.zeros_like(high)
    width = _FIRST_WIDTH
    for step in range(steps):
        part = ((inner + beyond) / (inner - outer)).clamp(0.01, 0.99)
        part = part.nan_to_num(0.5) if step % 3 else torch.full_like(part, 0.5)
        radius = torch.where(low > 0, low + part * (high - low), (1 - width) * high)
        width = min(8 * width, 0.5)
        z = found.shrunk(x, radius)
        logits = found.logits(z)
        tracker.record(found, z, logits)
        margin = found.margin(logits).to(high.dtype)
        beyond = BEYOND * found.rounding(logits).to(high.dtype)
        # What was kept as a success, not merely a negative margin, moves the upper end.
        length = tracker.distance[found.index]
        moved = length < high
        low, inner = torch.where(moved, low, radius), torch.where(moved, inner, margin)
        high, outer = length, torch.where(moved, margin, outer)
        there = (outer >= -2 * beyond) | (high - low <= _NARROW * high)
        rows = (~there).nonzero().squeeze(1)
        if not len(rows):
            return
        if len(rows) < len(found):
            found, x = found.at(rows), x[rows]
            low, inner, high, outer, beyond = (t[rows] for t in (low, inner, high, outer, beyond))


def push_outwards(
    batch: Batch, tracker: Nearest, tries: int = 12, draws: int = 8, factor: float = 1.1
) -> None:
    """Move what was kept outwards until it fools a random model in every one of `draws` passes.

    A model that is random at inference is fooled by luck now and then, and the nearest of many
    iterates is the luckiest: the judge's own draw would refuse it. The change is multiplied by
    `factor` as often as it takes, `tries` times at most.

    >>> from saddlepoint.attacks.minimum_norm.ddn import DDN
    >>> from saddlepoint.model import RandomLayer
    >>> from saddlepoint.threat import L2
    >>> class Noise(RandomLayer):
    ...     def forward(self, x):
    ...         return x + 0.05 * self.noise(x)
    >>> x, y = torch.tensor([[0.9, 0.4]]).expand(8, 2), torch.zeros(8, dtype=torch.int64)
    >>> float(DDN(L2(), steps=40)(Noise(), x, y).success_rate) >= 0.75
    True
    """
    todo = batch.at(tracker.distance[batch.index].isfinite())
    for attempt in range(tries + 1):
        if not len(todo):
            return
        x = todo.threat.parametrise(tracker.images[todo.index])
        holds = torch.ones(len(todo), dtype=torch.bool, device=x.device)
        for _ in range(draws):
            holds &= todo.margin(todo.logits(x)) < 0
        todo, x = todo.at(~holds), x[~holds]
        if attempt == tries or not len(todo):
            return
        low, high = todo.bounds
        wider = (todo.clean + factor * (x - todo.clean)).clamp(low, high)
        tracker.replace(todo, wider)
