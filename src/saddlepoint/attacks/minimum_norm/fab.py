"""FAB: along the linearised decision boundary, always drawn back to the clean image."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import MinimumNorm
from saddlepoint.attacks.core.final_search import final_projection
from saddlepoint.attacks.core.linearise import linearise, rivals
from saddlepoint.attacks.core.reach import reach
from saddlepoint.attacks.core.stages import stage
from saddlepoint.attacks.core.steps import start_of
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.attacks.geometry.boundaries import BEYOND
from saddlepoint.attacks.geometry.half_spaces import project_halfspace
from saddlepoint.option_values import Count, Interval, Natural, Positive, Share
from saddlepoint.streams import Stream
from saddlepoint.threat.norms import expand, norm

# The authors' radii for restarts of samples that nothing has fooled yet.
_RADIUS = {math.inf: 0.3, 2.0: 1.0, 1.0: 5.0}
_ALL = 1 << 30


@dataclass(frozen=True, kw_only=True)
class FAB(MinimumNorm):
    """Fast adaptive boundary: the iterate and the clean image are both projected on boundary ∩
    range, and the next iterate lies between the two.

    With d₁ and d₂ the ways of the iterate x and of the clean image x₀ to the linearised boundary,
    x ← clip((1 − α)(x + η·d₁) + α·(x₀ + η·d₂)), α = min(‖d₁‖/(‖d₁‖ + ‖d₂‖), alpha_max). What fools
    is recorded and pulled back: x ← x₀ + β·(x − x₀). Targeted calls and criteria other than
    misclassification have one boundary, whatever `targets` says.

    Args:
        threat: Linf(), L2() or L1().
        steps: iterations per restart (and target).
        targets: None steps to the nearest boundary of `classes`; a number tries that many of the
            highest other classes in turn, a backward pass per step (FAB-T).
        classes: the boundaries that an untargeted step looks at, those of the highest other classes
            at the iterate, a backward pass for each; "all" is the published attack.
        restarts: the first starts at the clean image, every other at a random point within half of
            the best distance.
        eps: the distance taken for that at most; None is the best distance alone, or, while nothing
            has been found, the authors' budgets for images (0.3 in Linf, 1 in L2, 5 in L1).
        alpha_max: the greatest weight of the way from the clean image.
        eta: η, how far beyond the boundary; at least 1.
        beta: β, what is left of the distance after a success.
        search: steps of the final search on the segment to the clean image, where the next point is
            interpolated from the margins on both sides.
        bisections: halvings of the way back after that, once the clean image has been projected on
            boundary ∩ range as linearised at the found point. 0 is the published attack.

    >>> from saddlepoint.threat import L1
    >>> net, image = torch.nn.Flatten(), torch.tensor([[0.9, 0.3]])
    >>> result = FAB(L1(), steps=5)(net, image, torch.tensor([0]))
    >>> f"{float(result.distance):.3f}"
    '0.600'
    """

    steps: Count = 100
    targets: Count | None = None
    classes: Count | Literal["all"] = 10
    restarts: Count = 1
    eps: Positive | None = None
    alpha_max: Share = 0.1
    eta: Annotated[float, Interval("[1, inf)")] = 1.05
    beta: Share = 0.9
    search: Natural = 3
    bisections: Natural = 10

    norms = ("Linf", "L2", "L1")
    paper = "Croce and Hein 2020, arXiv:1907.02044"
    cost = "2 forward and min(k, classes − 1) (10) backward per step (100); targeted 2 and 1 per target"
    paper_options: ClassVar[Mapping[str, Any]] = {"classes": "all", "bisections": 0}

    @property
    def expected_steps(self) -> int:
        """The passes as a rule; see `Attack`."""
        return 2 * super().expected_steps * (self.targets or 1)

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Descend once for each target and restart, then pull back what was found."""
        turns: list[Tensor | None] = [None]
        if self.targets is not None:
            logits = batch.logits(batch.clean)
            tracker.record(batch, batch.clean, logits)
            classes = rivals(batch, logits, self.targets)
            turns = turns if classes is None else list(torch.split(classes, 1, dim=1))
        for turn, classes in enumerate(turns):
            for restart in range(self.restarts):
                run = partial(self._run, batch, tracker, classes, restart, turn)
                stage(batch, tracker, run)
        search(batch, tracker, self.search)
        final_projection(batch, tracker, self.bisections, self.targets or self._looked_at)

    @property
    def _looked_at(self) -> int:
        return _ALL if self.classes == "all" else self.classes

    def _run(
        self, batch: Batch, tracker: Tracker, classes: Tensor | None, restart: int, turn: int
    ) -> None:
        x = self._start(batch, tracker, restart, draw=turn)
        self._descend(batch, tracker, x, classes)

    def _start(
        self, batch: Batch, tracker: Tracker, restart: int, draw: int
    ) -> Float[Tensor, "m ..."]:
        if restart == 0:
            return start_of(batch, "clean", 0)
        length = tracker.distance[batch.index]
        unknown = _RADIUS[batch.ball.p] if self.eps is None else self.eps
        radius = torch.where(length.isfinite(), length, unknown)
        if self.eps is not None:
            radius = radius.clamp_max(self.eps)
        # Every target has its own draws.
        keys = batch.keys.split(batch.keys.stream + Stream.PER_TARGET * draw)
        return batch.random_start(restart=restart, radius=radius / 2, keys=keys)

    def _descend(
        self,
        batch: Batch,
        tracker: Tracker,
        x: Float[Tensor, "m ..."],
        classes: Int64[Tensor, "m 1"] | None,
    ) -> None:
        clean, (low, high), p = batch.clean, reach(batch), batch.ball.p
        for _ in range(self.steps):
            near = linearise(batch, x, self._looked_at, classes)
            tracker.record(batch, x, near.logits)
            margin, w = near.pick(near.distances(p).argmin(dim=1))
            offset = (w.double() * x.double()).flatten(1).sum(1) - (margin + near.beyond).double()
            del near
            to_x = project_halfspace(x, w, offset, low, high, p, equality=True) - x
            to_clean = project_halfspace(clean, w, offset, low, high, p, equality=True) - clean
            alpha = expand(balance(norm(to_x, p), norm(to_clean, p), self.alpha_max), x)
            x = (1 - alpha) * (x + self.eta * to_x) + alpha * (clean + self.eta * to_clean)
            x = batch.masked(x.clamp(low, high))
            logits = batch.logits(x)
            tracker.record(batch, x, logits)
            fooled = expand(batch.margin(logits) < 0, x)
            x = torch.where(fooled, clean + self.beta * (x - clean), x)


def balance(
    near: Float[Tensor, " m"], far: Float[Tensor, " m"], most: float
) -> Float[Tensor, " m"]:
    """Return α = min(near/(near + far), most), and 0 where both are zero.

    >>> balance(torch.tensor([1.0, 1.0, 0.0]), torch.tensor([4.0, 99.0, 0.0]), 0.1)
    tensor([0.1000, 0.0100, 0.0000])
    """
    total = near + far
    return (near / torch.where(total > 0, total, 1.0)).clamp_max(most)


def search(batch: Batch, tracker: Tracker, steps: int) -> None:
    """Record nearer fooling points on the segment from the kept image to the clean one.

    Each step looks where the margin would vanish if it were linear between the nearest points known
    on both sides.
    """
    found = batch.at(tracker.distance[batch.index].isfinite())
    if not len(found) or not steps:
        return
    clean, x = found.clean, found.threat.parametrise(tracker.images[found.index])
    before, after = found.logits(clean), found.logits(x)
    beyond = BEYOND * torch.maximum(found.rounding(before), found.rounding(after))
    outer, inner = found.margin(after), found.margin(before)
    low, high = torch.zeros_like(inner), torch.ones_like(inner)
    for _ in range(steps):
        part = ((inner + beyond) / (inner - outer)).nan_to_num(1.0, 1.0, 1.0).clamp(0, 1)
        at = low + part * (high - low)
        z = clean + expand(at, x).to(x.dtype) * (x - clean)
        logits = found.logits(z)
        tracker.record(found, z, logits)
        margin = found.margin(logits)
        fooled = margin < 0
        low, inner = torch.where(fooled, low, at), torch.where(fooled, inner, margin)
        high, outer = torch.where(fooled, at, high), torch.where(fooled, margin, outer)
