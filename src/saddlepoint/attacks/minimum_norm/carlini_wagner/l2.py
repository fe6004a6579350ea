"""Carlini and Wagner's L2 attack: min ‖δ‖₂² + c·f(x + δ) over δ, and a search over c."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import Attack
from saddlepoint.attacks.core.final_search import bisect
from saddlepoint.attacks.core.stages import stage
from saddlepoint.attacks.core.steps import start_of
from saddlepoint.attacks.core.tracker import Keeper
from saddlepoint.attacks.minimum_norm.carlini_wagner.loop import (
    Descent,
    First,
    descend,
    first_gradient,
)
from saddlepoint.attacks.minimum_norm.carlini_wagner.objectives import OBJECTIVES
from saddlepoint.attacks.minimum_norm.carlini_wagner.options import check_descent, demand
from saddlepoint.errors import InputError
from saddlepoint.threat import NormBall, Rescaled, ThreatModel
from saddlepoint.threat.norms import expand, norm

Objective = Literal["f1", "f2", "f3", "f4", "f5", "f5b", "f6", "f7"]
BoxName = Literal["tanh", "clipped", "projected"]

# The least c that holds a boundary point in place, if f were linear, times this much.
_ABOVE = 3.0
_SMALLEST, _LARGEST = 1e-30, 1e30
# Of the given rate, what is left of it at least.
_LEAST_RATE = 1e-3


@dataclass(frozen=True, kw_only=True)
class CarliniWagnerL2(Attack):
    """Carlini and Wagner's L2 attack; by default a faster search than the published one.

    The published search starts every c from the clean image and c from 1e-3. Here c begins near
    where it will end: at the optimum 2‖δ‖ = c·‖∇f‖, and f and ∇f at the start give both, and a
    first step that goes no further than the boundary. Each next c goes on from the nearest success,
    Adam's rate falls where it makes no progress, and a sample's search ends once a success brings
    nothing. `published_cw_l2` has the paper's values.

    Args:
        threat: L2.
        objective: "f1" … "f7" or "f5b"; see `OBJECTIVES`.
        box: "projected" or "clipped" gradient descent, or the paper's "tanh" (change of variables),
            in which features on a bound hardly move for some hundred steps.
        confidence: κ: a success is a margin below −κ; where there is none, the judge may still
            accept the iterate of smallest margin.
        steps: Adam's iterations per c at most.
        learning_rate: Adam's; smaller where the boundary is near and `initial_c` is None.
        searches: values of c at most: ten times the last until the first success, then the middle
            of the bracket.
        initial_c: the first c; None estimates it.
        patience: steps without progress after which the rate falls or the descent ends.
        tolerance: the share by which the loss must fall to be progress.
        decays: how often the rate falls, to a quarter, before a descent ends.
        warm: each c after the first goes on from the nearest success (else from where the last c
            ended); otherwise from the clean image.
        gain: a sample's search ends when a successful c lowers its distance by less than this
            share; None never ends it.
        restarts: whole searches; the later ones begin at a random point no further from the image
            than the best success.
        bisections: final steps towards the clean image.

    Reference: Carlini and Wagner 2017, arXiv:1608.04644.

    >>> from saddlepoint.threat import L2
    >>> net, images = torch.nn.Flatten(), torch.tensor([[0.9, 0.2], [1.0, 0.1]])
    >>> result = CarliniWagnerL2(L2())(net, images, torch.tensor([0, 0]))
    >>> [round(float(d), 3) for d in result.distance]
    [0.495, 0.636]
    """

    objective: Objective = "f6"
    box: BoxName = "projected"
    confidence: float = 0.0
    steps: int = 1000
    learning_rate: float = 0.01
    searches: int = 9
    initial_c: float | None = None
    patience: int = 15
    tolerance: float = 1e-3
    decays: int = 3
    warm: bool = True
    gain: float | None = 1e-3
    restarts: int = 1
    bisections: int = 10

    minimum_norm = True
    norms = ("L2",)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least_one("steps", "searches", "patience", "restarts")
        check_descent(self.descent, self.confidence, self.initial_c, self.bisections)
        if self.gain is not None and not 0 <= self.gain < 1:
            raise InputError(f"gain is {self.gain}; give a share from 0 to 1, or None")

    @property
    def descent(self) -> Descent:
        """The options of the inner loop."""
        return Descent.of(self)

    def perturb(self, batch: Batch, best: Keeper) -> None:
        """Search over c from every start, and pull what was found towards the image."""
        batch = demand(batch, best, self.confidence)
        start = start_of(batch, "clean", 0)
        slope = first_gradient(batch, batch.clean, self.descent)
        c, reach = estimate(batch, slope, self.objective)
        first = slope if batch.starts is None else None
        how = self.descent
        if self.initial_c is not None:
            c = torch.full_like(c, self.initial_c)
        else:  # Adam's first step, of equal size in every feature, goes no further than the boundary
            most = torch.full_like(best.length, self.learning_rate, dtype=c.dtype)
            moving = (slope[1] != 0).flatten(1).sum(1).clamp_min(1)
            near = reach / moving.sqrt()
            most[batch.index] = near.clamp(_LEAST_RATE * self.learning_rate, self.learning_rate)
            how = replace(how, rates=most)
        stage(batch, best, partial(self._search, batch, best, start, c, how, first))
        for restart in range(1, self.restarts):
            radius = torch.minimum(best.length[batch.index], reach)
            free = batch.threat
            assert isinstance(free, NormBall | Rescaled), "norms has no Box"
            drawn = free.with_eps(radius).random_start(batch.images, batch.keys, restart=restart)
            stage(batch, best, partial(self._search, batch, best, batch.masked(drawn), c, how))
        bisect(batch, best, self.bisections)

    def _search(
        self,
        batch: Batch,
        best: Keeper,
        start: Tensor,
        c: Tensor,
        how: Descent,
        first: First | None = None,
    ) -> None:
        """Halve each sample's bracket of c; `first` is of `start`."""
        begin, low, high = start, torch.zeros_like(c), torch.full_like(c, torch.inf)
        for search in range(self.searches):
            before = best.length[batch.index]
            found, last = descend(batch, best, start, c, how, first=first)
            after = best.length[batch.index]
            low, high = torch.where(found, low, c), torch.where(found, c, high)
            c = torch.where(high.isinf(), (10 * c).clamp_max(_LARGEST), (low + high) / 2)
            go = torch.ones_like(found)
            if self.gain is not None:
                go = ~(found & after.isfinite() & (after >= before * (1 - self.gain)))
            if search == self.searches - 1 or not bool(go.any()):
                return
            nearest = batch.threat.parametrise(best.images[batch.index])
            on = torch.where(expand(after.isfinite(), last), nearest, last) if self.warm else begin
            if self.warm:
                first = None
            batch, start, begin, c, low, high = (
                batch.at(go), on[go], begin[go], c[go], low[go], high[go]
            )  # fmt: skip
            first = None if first is None else (first[0][go], first[1][go])


def estimate(batch: Batch, first: First, objective: str) -> tuple[Tensor, Tensor]:
    """Return the c to begin with, and the distance to the boundary, as if f were linear.

    A gradient of zero says nothing; c is then the paper's 1e-3 and the distance 1.

    >>> from saddlepoint.attacks import Misclassified
    >>> from saddlepoint.streams import Keys
    >>> from saddlepoint.model import Guard
    >>> from saddlepoint.threat import L2
    >>> x, rows = torch.tensor([[0.8, 0.2]]), torch.arange(1)
    >>> batch = Batch(Guard(torch.nn.Flatten(), 1), L2(), Misclassified(), x, rows, Keys(0, rows), rows)
    >>> estimate(batch, (x, torch.tensor([[1.0, -1.0]])), "f6")
    (tensor([1.8000]), tensor([0.4243]))
    """
    logits, gradient = first
    size = norm(gradient, 2)
    f = OBJECTIVES[objective](batch.criterion, logits, batch.goals).to(size.dtype)
    usable = (size > 0) & (f > 0)
    size = torch.where(usable, size, 1.0)
    reach = (f / size).clamp_max(_LARGEST)
    c = (_ABOVE * 2 * reach / size).clamp(_SMALLEST, _LARGEST)
    return torch.where(usable, c, 1e-3), torch.where(usable, reach, 1.0)


def published_cw_l2(threat: ThreatModel, *, steps: int = 10_000, **options: Any) -> CarliniWagnerL2:
    """Return the attack as published: a change of variables, and nine values of c from 1e-3, each
    from the clean image.

    A descent ends after a tenth of its steps without a fall of the loss by 1e-4 of itself, sample
    by sample.

    Args:
        threat: L2.
        steps: Adam's iterations per c at most.
        **options: any other option of `CarliniWagnerL2`.

    >>> from saddlepoint.threat import L2
    >>> attack = published_cw_l2(L2(), steps=1000)
    >>> attack.initial_c, attack.patience, attack.warm, attack.decays, attack.gain
    (0.001, 100, False, 0, None)
    """
    published: dict[str, Any] = {
        "box": "tanh", "initial_c": 1e-3, "patience": max(1, steps // 10), "tolerance": 1e-4, "decays": 0,
        "warm": False, "gain": None, "bisections": 0,
    }  # fmt: skip
    return CarliniWagnerL2(threat, steps=steps, **published | options)
