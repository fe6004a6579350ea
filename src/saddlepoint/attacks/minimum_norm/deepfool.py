"""DeepFool: step to the nearest of the linearised boundaries until the class changes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import MinimumNorm
from saddlepoint.attacks.core.final_search import final_search
from saddlepoint.attacks.core.linearise import linearise
from saddlepoint.attacks.core.reach import reach
from saddlepoint.attacks.core.steps import start_of
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.attacks.geometry.boundaries import Boundaries
from saddlepoint.configuration import added
from saddlepoint.option_values import Count, Natural, Positive
from saddlepoint.threat.norms import expand, unit


@dataclass(frozen=True, kw_only=True)
class DeepFool(MinimumNorm):
    """DeepFool: x ← clip(x₀ + (1 + overshoot)·Σ r), r the least step to a linearised boundary.

    A sample leaves when it crosses. A targeted call has one boundary, that of the target with the
    strongest other class.

    Args:
        threat: L2() or Linf().
        steps: the published steps, at most.
        overshoot: how far beyond the boundary, as a part of the way.
        classes: the other classes whose boundaries are looked at in the first step, the highest of
            the clean image; each is a backward pass.
        nearest: the boundaries looked at in every later step: the nearest of those by the present
            margins and the last known gradients' lengths. As many as `classes` is the published
            attack, which seldom finds anything nearer and costs several times as much.
        bisections: halvings of the way back at the end, after the clean image has been projected
            on boundary ∩ range as linearised at the found point.
        projections: steps that follow where the range cut off so much of every step that none
            crossed: they are projected on boundary ∩ range exactly, and go beyond by an overshoot
            that doubles. None is as many as `steps`.

    >>> from saddlepoint.threat import L2
    >>> net, image = torch.nn.Flatten(), torch.tensor([[0.9, 0.3]])
    >>> result = DeepFool(L2(), bisections=0)(net, image, torch.tensor([0]))
    >>> f"{float(result.distance):.4f}", f"{1.02 * 0.6 / 2**0.5:.4f}"
    ('0.4328', '0.4327')
    """

    steps: Count = 50
    overshoot: Positive = 0.02
    classes: Count = 10
    nearest: Count = 3
    bisections: Natural = 10
    projections: Natural | None = added(None)

    norms = ("L2", "Linf")
    paper = "Moosavi-Dezfooli et al. 2016, arXiv:1511.04599"
    cost = (
        "a few steps, each 1 forward; min(10, classes − 1) backward in the first, 3 in the others"
    )
    paper_options: ClassVar[Mapping[str, Any]] = {
        "nearest": 1000,
        "projections": 0,
        "bisections": 0,
    }

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Step until every sample has crossed, then pull back what was found."""
        p = batch.ball.p
        # A start that fools is crossed already, and a candidate as it is.
        fooled = expand(tracker.distance[batch.index].isfinite(), batch.images)
        x = torch.where(fooled, batch.clean, start_of(batch, "clean", 0))
        active, rounding = batch, None
        known: Known | None = None
        refined, crossed = (
            batch.clean.clone(),
            torch.zeros(len(batch), dtype=torch.bool, device=x.device),
        )
        rows = torch.arange(len(batch), device=x.device)
        total = (x - batch.clean) / (1 + self.overshoot)
        projections = self.steps if self.projections is None else self.projections
        for step in range(self.steps + projections + 1):
            choose = None if known is None else partial(known.nearest, active.holder, self.nearest)
            near = linearise(active, x, self.classes, choose, rounding)
            tracker.record(active, x, near.logits)
            done = self._crossed(active, tracker, x, near)
            if self.bisections and bool(done.any()):
                some = active.at(done)
                crossed[rows[done]] = True
                refined[rows[done]] = near.at(done).project(
                    some.clean, *reach(some), p, self.overshoot
                )
            if step < self.steps:
                total = total + least_step(near, p)
                moved = active.clean + (1 + self.overshoot) * total
                moved, stuck = moved.clamp(*reach(active)), near.dead
            else:
                beyond = self.overshoot * 2.0 ** min(step - self.steps, 16)
                moved = near.project(x, *reach(active), p, beyond)
                stuck = (moved == x).flatten(1).all(1)
            rounding = near.rounding
            if near.classes is not None:
                sizes = near.lengths(p)
                known = Known(near.classes, sizes) if known is None else known.update(near, sizes)
            left = ~(done | stuck)
            if not bool(left.any()):
                break
            if not bool(left.all()):
                active, rows, total, moved = active.at(left), rows[left], total[left], moved[left]
                rounding, known = rounding[left], None if known is None else known.at(left)
            x = moved
        if self.bisections:
            tracker.offer(batch.at(crossed), refined[crossed])
            final_search(batch, tracker, self.bisections)

    @staticmethod
    def _crossed(batch: Batch, tracker: Tracker, x: Tensor, near: Boundaries) -> Tensor:
        """Return, per sample, whether it has crossed a boundary by more than rounding."""
        kept = tracker.distance[batch.index]
        return (batch.margin(near.logits) < 0) & (kept <= batch.distance(x) * (1 + 1e-6))


class Known(NamedTuple):
    """The classes looked at, and the lengths of their margins' gradients where last taken.

    >>> known = Known(torch.tensor([[1, 2]]), torch.tensor([[1.0, 4.0]]))
    >>> known.nearest(lambda logits: torch.tensor([0]), 1, torch.tensor([[3.0, 2.0, 0.0]]))
    tensor([[2]])
    """

    classes: Int64[Tensor, "m k"]
    sizes: Float[Tensor, "m k"]

    def at(self, rows: Tensor) -> Known:
        """Return what is known of the selected samples."""
        return Known(self.classes[rows], self.sizes[rows])

    def nearest(
        self, holder: Callable[[Tensor], Tensor], count: int, logits: Float[Tensor, "m K"]
    ) -> Int64[Tensor, "m j"]:
        """Return the `count` classes whose boundaries are nearest, as far as is known.

        `holder` says which class holds the image, by the logits; see `Batch.holder`.
        """
        margins = logits.gather(1, holder(logits)[:, None]) - logits.gather(1, self.classes)
        far = (margins / self.sizes).nan_to_num(nan=math.inf, posinf=math.inf)
        return self.classes.gather(1, far.argsort(dim=1, stable=True)[:, :count])

    def update(self, near: Boundaries, sizes: Float[Tensor, "m j"]) -> Known:
        """Return the same with the lengths just measured."""
        assert near.classes is not None
        same = self.classes[:, :, None] == near.classes[:, None, :]
        new = torch.where(same, sizes[:, None, :], 0.0).sum(2)
        return Known(self.classes, torch.where(same.any(2), new, self.sizes))


def least_step(near: Boundaries, p: float) -> Float[Tensor, "m ..."]:
    """Return the shortest step to the nearest boundary, without regard for the range; p is 2 or
    inf.

    >>> margins, normals = torch.tensor([[5.0]]), torch.tensor([[[3.0, 4.0]]])
    >>> x = torch.zeros(1, 2)
    >>> near = Boundaries(x, x, None, margins, normals, torch.zeros(1))
    >>> least_step(near, 2.0), least_step(near, math.inf)
    (tensor([[-0.6000, -0.8000]]), tensor([[-0.7143, -0.7143]]))
    """
    goal = near.margins.clamp_min(0) + near.beyond[:, None]
    far, which = near.distances(p, goal).min(dim=1)
    _, w = near.pick(which)
    # A gradient of 1e-30 asks for a step of 1e30: still a step across any range, and no infinity.
    length = torch.where(far.isfinite(), far, 0.0).clamp_max(1e15)
    return -expand(length, w) * (unit(w, 2) if p == 2 else w.sign())
