"""EAD: sparse perturbations by an elastic net, minimised with FISTA."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.confidence import demand
from saddlepoint.attacks.core.contract import MinimumNorm
from saddlepoint.attacks.core.final_search import final_projection
from saddlepoint.attacks.core.steps import start_of
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.attacks.geometry.proximal import shrunk_into_box
from saddlepoint.option_values import Count, Natural, NonNegative, Positive
from saddlepoint.threat.norms import expand, norm

_STALLED = 2
"""So many searches in a row without a gain end a sample."""
_GREATEST = 1e30


@dataclass(frozen=True, kw_only=True)
class EAD(MinimumNorm):
    """The elastic-net attack: min c·max(margin + κ, 0) + β‖δ‖₁ + ‖δ‖₂² over the box, by FISTA.

    c grows tenfold until it succeeds and is then bisected, for every sample by itself. A weight
    too small to move any entry off the clean image is passed over, for no pass. An iterate is
    judged where its gradient is taken, at the extrapolated point clipped to the box, so that a
    step costs one pass each way and not two forward.

    The default needs a tenth of the paper's passes; see `published`.

    Args:
        steps: iterations for each c; the step falls to 0 over them along a square root.
        searches: values of c.
        initial_const: the smallest c; None takes thrice the least that moves any entry, whatever
            the scale of the logits.
        beta: β, the threshold of a step in the units of the image.
        step_size: the first step of FISTA.
        confidence: κ ≥ 0; above 0 only iterates with a margin of −κ count, and the nearest of them
            is kept.
        rule: which success is the best: "l1" has the least ‖δ‖₁, "en" the least β‖δ‖₁ + ‖δ‖₂². The
            distance reported is ‖δ‖₁ with both.
        patience: iterations after which a sample whose objective has not fallen by 0.01 % leaves a
            search; None runs every search to its end.
        tolerance: a sample is done when two searches in a row have improved its result by less
            than this share.
        bisections: forward passes at the end that pull the result towards the image.

    >>> from saddlepoint.threat import L1
    >>> net, x = torch.nn.Flatten(), torch.tensor([[0.9, 0.2]])
    >>> result = EAD(L1())(net, x, torch.tensor([0]))
    >>> f"{float(result.distance):.3f}"
    '0.700'
    """

    steps: Count = 80
    searches: Count = 9
    initial_const: Positive | None = None
    beta: Positive = 1e-2
    step_size: Positive = 0.01
    confidence: NonNegative = 0.0
    rule: Literal["l1", "en"] = "l1"
    patience: Count | None = None
    tolerance: NonNegative = 0.01
    bisections: Natural = 10

    norms = ("L1",)
    paper = "Chen et al. 2018, arXiv:1709.04114"
    cost = "some 350 each way"
    paper_options: ClassVar[Mapping[str, Any]] = {
        "initial_const": 1e-3, "steps": 1000, "patience": 100, "tolerance": 0.0, "bisections": 0,
    }  # fmt: skip

    @property
    def expected_steps(self) -> int:
        """The passes as a rule; see `Attack`."""
        return min(500, super().expected_steps * self.searches)

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Search over c, FISTA inside; the first gradient serves every search."""
        batch = demand(batch, tracker, self.confidence)
        logits, gradient = batch.gradient(batch.clean, batch.margin)
        record = _Record(batch, logits, self.beta if self.rule == "en" else None)
        c = self._first_const(batch, gradient)
        lower, upper = torch.zeros_like(c), torch.full_like(c, torch.inf)
        if batch.starts is not None:
            logits, gradient = batch.gradient(start_of(batch, "clean", 0), batch.margin)
        margin = batch.margin(logits)
        stalled = torch.zeros_like(batch.index)
        for _ in range(self.searches):
            rows = ((stalled < _STALLED) & (c < _GREATEST)).nonzero().squeeze(1)
            if not len(rows):
                break
            before = record.score[rows]
            found = self._fista(
                batch.at(rows), rows, c[rows], (margin[rows], gradient[rows]), record
            )
            gained = record.score[rows] < before * (1 - self.tolerance)
            idle = before.isfinite() & ~gained
            stalled[rows] = torch.where(idle & (self.tolerance > 0), stalled[rows] + 1, 0)
            upper[rows] = torch.where(found, c[rows], upper[rows])
            lower[rows] = torch.where(found, lower[rows], c[rows])
            c = torch.where(upper.isinf(), 10 * lower, (lower + upper) / 2)
        record.hand_over(tracker)
        final_projection(batch, tracker, self.bisections)

    def _first_const(self, batch: Batch, gradient: Float[Tensor, "m ..."]) -> Float[Tensor, " m"]:
        """Return the first c: thrice the least that moves an entry, or the first of the tenfold series
        with which a step from the clean image moves one; infinity where none does.
        """
        clean, (low, high) = batch.clean, batch.bounds
        room = torch.where(gradient > 0, clean > low, clean < high)
        steepest = torch.where(room, gradient.abs(), 0.0).flatten(1).amax(1).double()
        c = self.beta / (self.step_size * steepest)
        if self.initial_const is None:
            c = 3 * c
        else:
            tens = (c / self.initial_const).log10().ceil().clamp_min(0)
            c = self.initial_const * 10**tens
        return torch.where(c < _GREATEST, c, torch.inf).to(gradient.dtype)

    def _fista(
        self,
        batch: Batch,
        rows: Int64[Tensor, " m"],
        c: Float[Tensor, " m"],
        first: tuple[Float[Tensor, " m"], Float[Tensor, "m ..."]],
        record: _Record,
    ) -> Tensor:
        """Minimise with the weights `c` from the start; say whose margin became negative.

        `first` is the margin and its gradient there.
        """
        margin, gradient = first
        clean, (low, high) = batch.clean, batch.bounds
        fooled = torch.zeros_like(rows, dtype=torch.bool)
        place, before = torch.arange(len(rows), device=rows.device), torch.full_like(c, torch.inf)
        x = y = start_of(batch, "clean", 0)
        for k in range(self.steps):
            alpha = self.step_size * math.sqrt(1 - k / self.steps)
            pull = expand(torch.where(margin >= 0, c, 0.0), y)
            descent = y - alpha * (pull * gradient + 2 * (y - clean))
            new = shrunk_into_box(descent, clean, self.beta, low, high)
            x, y = new, (new + k / (k + 3) * (new - x)).clamp(low, high)
            logits, gradient = batch.gradient(y, batch.margin)
            margin = batch.margin(logits)
            fooled[place] |= record.judge(batch, rows, y, logits)
            if self.patience is None or (k + 1) % self.patience:
                continue
            value = c * margin.clamp_min(0) + elastic_net(y - clean, self.beta)
            falling = value <= 0.9999 * before
            if not bool(falling.any()):
                break
            batch, rows, c, place = batch.at(falling), rows[falling], c[falling], place[falling]
            x, y, gradient, margin = x[falling], y[falling], gradient[falling], margin[falling]
            before, clean, (low, high) = value[falling], batch.clean, batch.bounds
        return fooled


class _Record:
    """The best success of each sample by the attack's own rule: with `beta` the elastic net's, else
    ‖δ‖₁.

    It goes to the tracker at the end: the tracker itself would prefer any success of less ‖δ‖₁.
    """

    def __init__(self, batch: Batch, logits: Float[Tensor, "n k"], beta: float | None) -> None:
        self.batch, self.beta = batch, beta
        self.x, self.logits = batch.clean.clone(), logits.clone()
        self.score = torch.full_like(self.x.flatten(1)[:, 0], torch.inf)

    def judge(
        self,
        batch: Batch,
        rows: Int64[Tensor, " m"],
        x: Float[Tensor, "m ..."],
        logits: Float[Tensor, "m k"],
    ) -> Bool[Tensor, " m"]:
        """Return which of the iterates `x` of these rows succeed, and keep the best."""
        fooled = batch.surely_fooled(logits)
        here = fooled.nonzero().squeeze(1)
        change, among = x[here] - batch.clean[here], rows[here]
        score = norm(change, 1) if self.beta is None else elastic_net(change, self.beta)
        better = score < self.score[among]
        here, among = here[better], among[better]
        self.score[among], self.logits[among] = score[better], logits[here]
        self.x[among] = x[here]
        return fooled

    def hand_over(self, tracker: Tracker) -> None:
        """Give the tracker what was found."""
        found = self.score.isfinite()
        tracker.record(self.batch.at(found), self.x[found], self.logits[found])


def elastic_net(change: Float[Tensor, "m ..."], beta: float) -> Float[Tensor, " m"]:
    """Return β‖δ‖₁ + ‖δ‖₂² per sample.

    >>> elastic_net(torch.tensor([[1.0, -2.0]]), 0.5)
    tensor([6.5000])
    """
    return beta * norm(change, 1) + change.square().flatten(1).sum(1)
