"""DDN: δ is rescaled to radius ε_k at every step; ε_k shrinks by 1 − γ where the iterate fools and
grows by 1 + γ elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import MinimumNorm
from saddlepoint.attacks.core.criteria import Loss
from saddlepoint.attacks.core.directions import RandomDirections, euclidean
from saddlepoint.attacks.core.final_search import final_search
from saddlepoint.attacks.core.reach import reach
from saddlepoint.attacks.core.steps import cosine, start_of
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.configuration import added
from saddlepoint.option_values import BelowOne, Count, Fraction, Interval, Natural, Positive
from saddlepoint.threat.norms import expand


@dataclass(frozen=True, kw_only=True)
class DDN(MinimumNorm):
    """Decoupled direction and norm: δ ← ε_k·(δ + α·g/‖g‖)/‖δ + α·g/‖g‖‖, clipped to the range.

    The radius ε_k is multiplied by 1 − γ where the last iterate fooled, and by 1 + γ elsewhere, the
    faster the longer nothing fooled yet. The defaults find shorter changes than the paper's in the
    same passes; see `published`. The paper also rounds every iterate to 8 bits, which this does not;
    see `EightBit`.

    Args:
        threat: L2, without a budget.
        steps: iterations, a pass each way; the paper's strongest setting is 1000.
        step_size: α of the first step, in the units of the distance; it decays to a hundredth along
            half a cosine.
        gamma: γ of the first step, above 0 and below 1.
        final_gamma: γ of the last step, reached along the same cosine.
        radius: ε_0, in the units of the distance; None is each image's distance to the linearised
            boundary, |m|/‖∇m‖₂ with the margin m (where the margin is not the loss, 1). Where
            `starts` or an earlier run have fooled, it is the distance of the nearest instead.
        haste: by how much every failure before the first success multiplies γ.
        loss: "margin", max_{j≠y} Z_j − Z_y, the negative of the criterion's margin;
            "cross-entropy", through its monotone log-odds log Σ_{j≠y} e^{Z_j} − Z_y, whose
            gradient does not vanish; "softmax-cross-entropy", as published; or "both": half of the
            steps with "margin", then half from the start again with "cross-entropy", which often
            ends in another class; where the first half has to go twice as far as ε_0 the boundary is
            far, and it goes on with "margin" instead.
        bisections: forward passes that end the attack, on the segment to the clean image.

    >>> from saddlepoint.threat import L2
    >>> net, x = torch.nn.Flatten(), torch.tensor([[0.9, 0.3]])
    >>> result = DDN(L2(), steps=50)(net, x, torch.tensor([0]))
    >>> f"{float(result.distance):.3f}"  # 0.6/√2
    '0.424'
    """

    steps: Count = 100
    step_size: Positive = 1.0
    gamma: Fraction = 0.05
    final_gamma: BelowOne = 0.001
    radius: Positive | None = None
    haste: Annotated[float, Interval("[1, 2]")] = added(1.15)
    loss: Literal["both", Loss] = "both"
    bisections: Natural = 10

    norms = ("L2",)
    paper = "Rony et al. 2019, arXiv:1811.09600"
    cost = "steps (100) each way, up to 12 forward"
    paper_options: ClassVar[Mapping[str, Any]] = {
        "loss": "softmax-cross-entropy", "final_gamma": 0.05, "radius": 1.0, "haste": 1.0,
        "bisections": 0,
    }  # fmt: skip

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Run the loop with the loss, or with both in turn; then search the segment to the image."""
        first = self.steps if self.loss != "both" else self.steps - self.steps // 2
        walk = _Walk.begin(batch)
        margin = self.loss in ("both", "margin")
        loss = batch.loss("margin" if self.loss == "both" else self.loss)
        self._follow(batch, tracker, walk, loss, range(first), margin)
        if first < self.steps:
            tracker.offer(batch, walk.x)  # the second half starts elsewhere, and does not pass it
            walk = _Walk.begin(batch).overwritten(walk.far, walk)
            second = _of_two(walk.far, loss, batch.loss("cross-entropy"))
            self._follow(batch, tracker, walk, second, range(first, self.steps), False)
        tracker.offer(batch, walk.x)
        final_search(batch, tracker, self.bisections)

    def _follow(
        self,
        batch: Batch,
        tracker: Tracker,
        walk: _Walk,
        loss: Callable[[Tensor], Tensor],
        steps: range,
        margin: bool,
    ) -> None:
        """Take these steps from where `walk` is; `margin` says that the loss is one in all rows."""
        clean, (low, high) = batch.clean, reach(batch)
        max_distance = euclidean(torch.maximum(high - clean, clean - low))
        random_directions, halved = RandomDirections(batch), steps.stop < self.steps
        begun = int(_LATE * self.steps)
        for step in steps:  # nobody leaves: where x fools, the search goes on nearer
            x, eps_k = walk.x, walk.eps_k
            # a run of these steps alone, or where the boundary is far one of all
            own = torch.full_like(eps_k, cosine(step - steps.start, len(steps)))
            decay = own.masked_fill(walk.far, cosine(step, self.steps))
            late = own.masked_fill(walk.far, cosine(max(step - begun, 0), self.steps - begun))
            gamma = self.final_gamma + (self.gamma - self.final_gamma) * late
            logits, gradient = batch.gradient(x, loss)
            fooled = batch.margin(logits) < 0
            tracker.record(batch, x, logits)
            norm = euclidean(gradient)
            if step == steps.start:
                linearised = batch.margin(logits).abs().to(norm.dtype) / norm
                start = self._first_radius(linearised, max_distance, margin)
                nearest = tracker.distance[batch.index].to(eps_k.dtype)
                start = torch.where(nearest.isfinite(), nearest, start)
                walk.eps_0 = torch.where(walk.far, walk.eps_0, start)
                eps_k = torch.where(walk.far, eps_k, start)
            gradient, norm = random_directions.replace_zeros(gradient, norm, step)
            if halved:
                walk.far = walk.far | (eps_k > _FAR * walk.eps_0)
            # ε_k; no image of the range is farther than max_distance, and a radius that grew on
            # beyond it would take as many steps to come back
            walk.found = walk.found | fooled
            grown = 1 + torch.where(walk.found, gamma, (gamma * walk.haste).clamp_max(1.0))
            walk.haste = self.haste * walk.haste
            eps_k = torch.where(fooled, (1 - gamma) * eps_k, grown * eps_k)
            walk.eps_k = eps_k = torch.minimum(eps_k, max_distance)
            # δ += α·g/‖g‖
            alpha = self.step_size * (0.01 + 0.99 * decay)
            delta = (x - clean).addcmul_(gradient, expand(alpha / norm, x))
            # onto the sphere of radius ε_k, and clip
            scale = eps_k / euclidean(delta).clamp_min(torch.finfo(x.dtype).tiny)
            walk.x = torch.addcmul(clean, delta, expand(scale, x)).clamp_(low, high)

    def _first_radius(self, linearised: Tensor, max_distance: Tensor, margin: bool) -> Tensor:
        """Return ε_0 from the distance to the `linearised` boundary; see `radius`."""
        if self.radius is not None:
            return torch.full_like(max_distance, self.radius)
        one = max_distance.clamp_max(1)
        if not margin:
            return one
        # A zero gradient has no linearised boundary; a tie is on it, and 0 would stay 0.
        return torch.where((linearised > 0) & (linearised < max_distance), linearised, one)


# A boundary is far where ε_k has to grow to so many times ε_0; γ falls in the rest of such a run only.
_FAR, _LATE = 2.0, 0.7


@dataclass
class _Walk:
    """Where each sample is: its iterate, ε_k and ε_0, whether it has fooled, what multiplied γ
    before it did, and whether its boundary is far.
    """

    x: Float[Tensor, "m ..."]
    eps_k: Float[Tensor, " m"]
    eps_0: Float[Tensor, " m"]
    found: Bool[Tensor, " m"]
    haste: Float[Tensor, " m"]
    far: Bool[Tensor, " m"]

    @classmethod
    def begin(cls, batch: Batch) -> _Walk:
        """Return the start of all samples."""
        zero = torch.zeros_like(batch.clean.flatten(1)[:, 0])
        no = torch.zeros_like(zero, dtype=torch.bool)
        x = start_of(batch, "clean", 0)
        return cls(x, zero, zero, no, torch.ones_like(zero), no)

    def overwritten(self, which: Bool[Tensor, " m"], other: _Walk) -> _Walk:
        """Return this with the samples `which` of another one."""
        pairs = [(getattr(self, each.name), getattr(other, each.name)) for each in fields(self)]
        return _Walk(*(torch.where(expand(which, mine), its, mine) for mine, its in pairs))


def _of_two(
    first: Bool[Tensor, " m"], one: Callable[[Tensor], Tensor], other: Callable[[Tensor], Tensor]
) -> Callable[[Tensor], Tensor]:
    """Return the loss that is `one` in the rows of `first`, and the `other` elsewhere."""
    return lambda logits: torch.where(first, one(logits), other(logits))
