"""Carlini and Wagner's L2 attack: min ‖δ‖₂² + c·f(x + δ) over δ, and a search over c."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.confidence import demand
from saddlepoint.attacks.core.contract import MinimumNorm
from saddlepoint.attacks.core.final_search import final_search
from saddlepoint.attacks.core.stages import stage
from saddlepoint.attacks.core.steps import start_of
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.attacks.minimum_norm.carlini_wagner.box import BoxName
from saddlepoint.attacks.minimum_norm.carlini_wagner.loop import (
    HUGE,
    PAPER,
    Descent,
    First,
    descend,
    estimate,
    first_gradient,
)
from saddlepoint.attacks.minimum_norm.carlini_wagner.objectives import ObjectiveName
from saddlepoint.option_values import BelowOne, Count, Natural, NonNegative, Positive
from saddlepoint.threat import ThreatModel
from saddlepoint.threat.norms import expand

# Of the given rate, what is left of it at least.
_LEAST_RATE = 1e-3


@dataclass(frozen=True, kw_only=True)
class CarliniWagnerL2(MinimumNorm):
    """Carlini and Wagner's L2 attack; by default a faster search than the published one.

    The published search starts every c from the clean image and c from 1e-3. Here c begins near
    where it will end: at the optimum 2‖δ‖ = c·‖∇f‖, and f and ∇f at the start give both, and a
    first step that goes no further than the boundary. Each next c goes on from the nearest success,
    Adam's rate falls where it makes no progress, and a sample's search ends once a success brings
    nothing. `published` has the paper's values.

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

    >>> from saddlepoint.threat import L2
    >>> net, images = torch.nn.Flatten(), torch.tensor([[0.9, 0.2], [1.0, 0.1]])
    >>> result = CarliniWagnerL2(L2())(net, images, torch.tensor([0, 0]))
    >>> [round(float(d), 3) for d in result.distance]
    [0.495, 0.636]
    """

    objective: ObjectiveName = "f6"
    box: BoxName = "projected"
    confidence: NonNegative = 0.0
    steps: Count = 1000
    learning_rate: Positive = 0.01
    searches: Count = 9
    initial_c: Positive | None = None
    patience: Count = 15
    tolerance: BelowOne = 1e-3
    decays: Natural = 3
    warm: bool = True
    gain: BelowOne | None = 1e-3
    restarts: Count = 1
    bisections: Natural = 10

    norms = ("L2",)
    paper = PAPER
    cost = "up to searches × steps (9 × 1000) each way, some 260 as a rule"
    paper_options: ClassVar[Mapping[str, Any]] = {
        "box": "tanh", "steps": 10_000, "initial_c": 1e-3, "tolerance": 1e-4, "decays": 0,
        "warm": False, "gain": None, "bisections": 0,
    }  # fmt: skip

    @classmethod
    def published(cls, threat: ThreatModel, **options: Any) -> Self:
        """Return the paper's own attack: a change of variables, and nine values of c from 1e-3, each
        from the clean image.

        A descent ends after a tenth of its steps without a fall of the loss by 1e-4 of itself,
        sample by sample.

        >>> from saddlepoint.threat import L2
        >>> attack = CarliniWagnerL2.published(L2(), steps=1000)
        >>> attack.initial_c, attack.patience, attack.warm, attack.decays, attack.gain
        (0.001, 100, False, 0, None)
        """
        steps = options.get("steps", cls.paper_options["steps"])
        return super().published(threat, **{"patience": max(1, steps // 10), **options})

    @property
    def expected_steps(self) -> int:
        """The passes as a rule; see `Attack`."""
        return min(600, self.steps * self.searches) * self.restarts

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Search over c from every start, and pull what was found towards the image."""
        batch = demand(batch, tracker, self.confidence)
        start = start_of(batch, "clean", 0)
        slope = first_gradient(batch, batch.clean, Descent.of(self))
        c, reach = estimate(batch, slope, self.objective)
        first = slope if batch.starts is None else None
        how = Descent.of(self)
        if self.initial_c is not None:
            c = torch.full_like(c, self.initial_c)
        else:  # Adam's first step, of equal size in every feature, goes no further than the boundary
            most = torch.full_like(tracker.distance, self.learning_rate, dtype=c.dtype)
            moving = (slope[1] != 0).flatten(1).sum(1).clamp_min(1)
            near = reach / moving.sqrt()
            most[batch.index] = near.clamp(_LEAST_RATE * self.learning_rate, self.learning_rate)
            how = replace(how, rates=most)
        stage(batch, tracker, partial(self._search, batch, tracker, start, c, how, first))
        for restart in range(1, self.restarts):
            radius = torch.minimum(tracker.distance[batch.index], reach)
            drawn = batch.random_start(restart=restart, radius=radius)
            stage(batch, tracker, partial(self._search, batch, tracker, drawn, c, how))
        final_search(batch, tracker, self.bisections)

    def _search(
        self,
        batch: Batch,
        tracker: Tracker,
        start: Tensor,
        c: Tensor,
        how: Descent,
        first: First | None = None,
    ) -> None:
        """Halve each sample's bracket of c; `first` is of `start`."""
        begin, low, high = start, torch.zeros_like(c), torch.full_like(c, torch.inf)
        for search in range(self.searches):
            before = tracker.distance[batch.index]
            found, last = descend(batch, tracker, start, c, how, first=first)
            after = tracker.distance[batch.index]
            low, high = torch.where(found, low, c), torch.where(found, c, high)
            c = torch.where(high.isinf(), (10 * c).clamp_max(HUGE), (low + high) / 2)
            go = torch.ones_like(found)
            if self.gain is not None:
                go = ~(found & after.isfinite() & (after >= before * (1 - self.gain)))
            if search == self.searches - 1 or not bool(go.any()):
                return
            nearest = batch.threat.parametrise(tracker.images[batch.index])
            on = torch.where(expand(after.isfinite(), last), nearest, last) if self.warm else begin
            if self.warm:
                first = None
            batch, start, begin, c, low, high = (
                batch.at(go), on[go], begin[go], c[go], low[go], high[go]
            )  # fmt: skip
            first = None if first is None else (first[0][go], first[1][go])
