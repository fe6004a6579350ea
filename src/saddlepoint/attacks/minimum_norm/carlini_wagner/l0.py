"""Carlini and Wagner's L0 attack: the L2 attack on a set of pixels that shrinks while it succeeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.confidence import demand
from saddlepoint.attacks.core.contract import MinimumNorm
from saddlepoint.attacks.core.final_search import final_search
from saddlepoint.attacks.core.steps import start_of
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.attacks.minimum_norm.carlini_wagner.box import BoxName
from saddlepoint.attacks.minimum_norm.carlini_wagner.loop import (
    PAPER,
    Descent,
    estimate,
    first_gradient,
    raising,
)
from saddlepoint.attacks.minimum_norm.carlini_wagner.objectives import ObjectiveName
from saddlepoint.option_values import (
    BelowOne,
    Count,
    Fraction,
    Natural,
    NonNegative,
    Positive,
)
from saddlepoint.threat.norms import largest_k

_RAISE = 10.0


@dataclass(frozen=True, kw_only=True)
class CarliniWagnerL0(MinimumNorm):
    """Carlini and Wagner's L0 attack.

    After a success on a set of pixels, those with the smallest |Σ_c δ|·Σ_c|g| leave it, g being the
    gradient of the margin at the success, and the next descent begins there with their changes
    undone; each next c goes on from where the last ended. After a failure half as many leave, and
    the search ends when not even one can. With L0(per="feature") every channel of a pixel counts
    for itself.

    Args:
        threat: L0.
        objective, box, confidence: as for `CarliniWagnerL2`.
        steps: Adam's iterations per c and set at most; a descent ends at its first success.
        learning_rate: Adam's.
        searches: values of c at most for each set, each ten times the last.
        initial_c: the first c; None estimates it as `CarliniWagnerL2` does.
        share: of the pixels still in the set that leave after a success, at least one.
        rounds: sets at most.
        patience, tolerance, decays: as for `CarliniWagnerL2`.
        bisections: final steps that undo the smallest changes.

    >>> from saddlepoint.threat import L0
    >>> net, images = torch.nn.Flatten(), torch.tensor([[0.9, 0.3, 0.1]])
    >>> CarliniWagnerL0(L0())(net, images, torch.tensor([0])).distance
    tensor([1.], dtype=torch.float64)
    """

    objective: ObjectiveName = "f6"
    box: BoxName = "projected"
    confidence: NonNegative = 0.0
    steps: Count = 1000
    learning_rate: Positive = 0.01
    searches: Count = 4
    initial_c: Positive | None = None
    share: Fraction = 0.3
    rounds: Count = 100
    patience: Count = 30
    tolerance: BelowOne = 1e-3
    decays: Natural = 0
    bisections: Natural = 10

    norms = ("L0",)
    paper = PAPER
    cost = "an L2 attack for each pixel set, some 2000 each way"
    paper_options: ClassVar[Mapping[str, Any]] = {
        "box": "tanh", "initial_c": 1e-3, "share": 1e-9, "rounds": 10_000, "bisections": 0,
    }  # fmt: skip

    @property
    def expected_steps(self) -> int:
        """The passes as a rule; see `Attack`."""
        return self.steps

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Shrink the set of each sample until nothing can leave it."""
        batch = whole = demand(batch, tracker, self.confidence)
        group = batch.ball.group(batch.images)
        start = start_of(batch, "clean", 0)
        c, _ = estimate(batch, first_gradient(batch, start, Descent.of(self)), self.objective)
        if self.initial_c is not None:
            c = torch.full_like(c, self.initial_c)
        free = torch.ones_like(start, dtype=torch.bool) if batch.mask is None else batch.mask
        allowed = free.flatten(1).reshape(len(batch), group, -1).any(1)  # (m, pixels)
        kept, good, score = allowed, start, torch.zeros_like(allowed, dtype=c.dtype)
        leave, won = torch.zeros_like(batch.index), torch.zeros_like(c, dtype=torch.bool)
        for _ in range(self.rounds):
            found, x, c = self._on(batch, tracker, self._undone(batch, good, allowed), c, allowed)
            if bool(found.any()):  # the margin's gradient where it was found
                rows = found.nonzero().squeeze(1)
                kept = kept.index_copy(0, rows, allowed[rows])
                good = good.index_copy(0, rows, x[rows])
                score = score.index_copy(0, rows, self._score(batch.at(rows), x[rows]))
            won = won | found
            share = (self.share * kept.sum(1)).long().clamp_min(1)
            # What failed is tried again with half as many, from the last success.
            leave = torch.where(
                found, share.minimum(torch.where(leave > 0, leave, share)), leave // 2
            )
            go = won & (leave > 0) & (kept.sum(1) > 1)
            if not bool(go.any()):
                break
            batch = batch.at(go)
            c, kept, good, score, leave, won = (t[go] for t in (c, kept, good, score, leave, won))
            ranked = torch.where(kept, -score, -torch.inf)
            allowed = kept & ~largest_k(ranked, leave.minimum(kept.sum(1) - 1))
        final_search(whole, tracker, self.bisections)

    def _features(self, batch: Batch, pixels: Tensor) -> Tensor:
        """Return the features (m, …) of the pixels (m, p)."""
        return pixels.repeat(1, batch.ball.group(batch.images)).reshape(batch.images.shape)

    def _undone(self, batch: Batch, x: Tensor, allowed: Tensor) -> Tensor:
        return torch.where(self._features(batch, allowed), x, batch.clean)

    def _score(self, batch: Batch, x: Tensor) -> Tensor:
        """Return |Σ_c δ|·Σ_c|g| of each pixel (m, p)."""
        _, gradient = batch.gradient(x, batch.margin)
        group = batch.ball.group(batch.images)
        change, slope = (
            t.flatten(1).reshape(len(x), group, -1) for t in (x - batch.clean, gradient)
        )
        return change.sum(1).abs() * slope.abs().sum(1)

    def _on(
        self, batch: Batch, tracker: Tracker, start: Tensor, c: Tensor, allowed: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Raise c until there is a success on the allowed pixels; return as `raising` does."""
        mask = self._features(batch, allowed)
        some = replace(batch, mask=mask if batch.mask is None else mask & batch.mask)
        return raising(
            some, tracker, start, c, Descent.of(self),
            enough=torch.inf, factor=_RAISE, searches=self.searches,
        )  # fmt: skip
