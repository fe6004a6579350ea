"""Primal-dual attacks: a descent on the image, an ascent on the weight between distance and class."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from saddlepoint.attacks.core.adam import EPSILON, Adam
from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import MinimumNorm
from saddlepoint.attacks.core.directions import euclidean
from saddlepoint.attacks.core.final_search import final_projection
from saddlepoint.attacks.core.steps import start_of
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.attacks.geometry.proximal import clip_largest, shrink, soft_threshold, two_thirds
from saddlepoint.configuration import added
from saddlepoint.option_values import Count, Interval, Natural, Positive
from saddlepoint.threat.norms import expand, unit

Ratio = Annotated[float, Interval("[1e-6, 1e6]", "give a number from 1e-6 to 1e6")]
_LOG_LEAST = math.log(1e-6)
"""The weights' ratio stays within 1e-6 … 1e6."""


@dataclass
class _Dual:
    """The weights (λ₀, λ₁) = softmax(0, ℓ) of distance and class, as a running mean."""

    level: Float[Tensor, " m"]
    mean: Float[Tensor, "m 2"]

    @classmethod
    def start(cls, batch: Batch, ratio: float) -> _Dual:
        level = torch.full_like(batch.clean.flatten(1)[:, 0], -math.log(ratio))
        return cls(level, _weights(level))

    def ascend(self, margin: Float[Tensor, " m"], rate: float) -> None:
        """Move the weight towards the class where it still holds, else towards the distance."""
        level = self.level + rate * margin.sign().to(self.level.dtype)
        self.level = level.clamp(_LOG_LEAST, -_LOG_LEAST)
        self.mean = 0.9 * self.mean + 0.1 * _weights(self.level)


def _weights(level: Tensor) -> Tensor:
    return torch.stack([torch.zeros_like(level), level], dim=1).softmax(1)


def _step(adam: Adam, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Return Adam's step of length 1, and the denominator in it: the metric."""
    adam.update(gradient)
    metric = (adam.square.sqrt() * (1 / math.sqrt(adam.square_part))).add_(EPSILON)
    return adam.mean / metric / adam.mean_part, metric


@dataclass(frozen=True, kw_only=True)
class _PrimalDual(MinimumNorm):
    """What the two attacks share: Adam on the image, and the weights' own rate.

    Args:
        steps: iterations, a pass each way.
        step_size: Adam's rate in the units of the image; it falls geometrically to 1 %.
        ratio: λ₀/λ₁ at the start.
        dual_step: the step of ℓ, which falls linearly to 10 %.
        bisections: forward passes at the end that pull the result towards the image.
    """

    steps: Count = 1000
    step_size: Positive = 0.1
    ratio: Ratio = 0.01
    dual_step: Positive = 0.1
    bisections: Natural = 10

    paper = "Matyasko and Chau 2021, arXiv:2106.01538"
    cost = "steps (1000) each way, about a dozen forward"
    paper_options: ClassVar[Mapping[str, Any]] = {"bisections": 0}

    def _rate(self, step: int) -> float:
        """Return Adam's rate, which falls geometrically to 1 %."""
        return float(self.step_size * 0.01 ** (step / self.steps))

    def _dual_rate(self, step: int) -> float:
        """Return the rate of the weights, which falls linearly to 10 %."""
        return self.dual_step * (1 - 0.9 * step / max(self.steps - 1, 1))


@dataclass(frozen=True, kw_only=True)
class PDGD(_PrimalDual):
    """Primal-dual gradient descent: Adam on λ₀·‖δ‖₂ + λ₁·softplus(margin), λ ascending meanwhile.

    (λ₀, λ₁) = softmax(0, ℓ); ℓ rises while the class holds and falls while it does not, so that the
    iterates come to swing about the boundary. Options: `steps`, `step_size`, `ratio` (λ₀/λ₁ at the
    start), `dual_step` (of ℓ) and `bisections`.

    >>> from saddlepoint.threat import L2
    >>> net, x = torch.nn.Flatten(), torch.tensor([[0.9, 0.2]])
    >>> result = PDGD(L2(), steps=100)(net, x, torch.tensor([0]))
    >>> f"{float(result.distance):.3f}"
    '0.495'
    """

    norms = ("L2",)

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Descend on the image, ascend on the weights."""
        clean, (low, high) = batch.clean, batch.bounds
        x = start_of(batch, "clean", 0)
        dual = _Dual.start(batch, self.ratio)
        adam = Adam(x)
        for step in range(self.steps):
            logits, gradient = batch.gradient(x, _softplus(batch))
            tracker.record(batch, x, logits)
            near, far = dual.mean.unbind(1)
            gradient = expand(near, x) * unit(x - clean, 2) + expand(far, x) * gradient
            direction, _ = _step(adam, gradient)
            x = (x - self._rate(step) * direction).clamp(low, high)
            dual.ascend(batch.margin(logits), self._dual_rate(step))
        tracker.offer(batch, x)
        final_projection(batch, tracker, self.bisections)


@dataclass(frozen=True, kw_only=True)
class PDPGD(_PrimalDual):
    """Primal-dual proximal gradient descent: Adam on softplus(margin), then the norm's proximal map
    in Adam's metric, weighted by λ₀/λ₁.

    Small entries of the metric are raised to a share of the largest, a fifth in L0 and L1 and a
    twentieth in L2 and Linf, and the map is exact. The paper approaches that of the metric itself by
    five inner iterations, which do not get far where it is small. L0 is approached by Σ|δ|^⅔.
    Options as for `PDGD`, and `proximal_steps`: None for the above, or the number of inner
    iterations of proximal Adam (Yun, Lozano and Yang 2020, arXiv:1910.10094), published as 5.

    >>> from saddlepoint.threat import L1
    >>> net, x = torch.nn.Flatten(), torch.tensor([[0.9, 0.2]])
    >>> result = PDPGD(L1(), steps=300)(net, x, torch.tensor([0]))
    >>> f"{float(result.distance):.2f}"
    '0.70'
    """

    proximal_steps: Count | None = added(None)

    paper_options: ClassVar[Mapping[str, Any]] = {"bisections": 0, "proximal_steps": 5}

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Descend on the image, shrink its change, ascend on the weights."""
        low, high = batch.bounds
        x = start_of(batch, "clean", 0)
        dual = _Dual.start(batch, self.ratio)
        adam = Adam(x)
        for step in range(self.steps):
            logits, gradient = batch.gradient(x, _softplus(batch))
            tracker.record(batch, x, logits)
            direction, metric = _step(adam, gradient)
            rate = self._rate(step)
            x = (x - rate * direction).clamp(low, high)
            near, far = dual.mean.unbind(1)
            x = self._proximal(batch, x, rate * near / far, metric)
            dual.ascend(batch.margin(logits), self._dual_rate(step))
        tracker.offer(batch, x)
        final_projection(batch, tracker, self.bisections)

    def _proximal(self, batch: Batch, x: Tensor, weight: Tensor, metric: Tensor) -> Tensor:
        """Return the image whose change is the proximal map of that of `x`, in Adam's metric."""
        clean, (low, high), p = batch.clean, batch.bounds, batch.ball.p
        largest = expand(metric.flatten(1).amax(1), x)
        if self.proximal_steps is None:
            metric = metric.maximum(_FLOOR[p] * largest)
            return (clean + _PROXIMAL[p](x - clean, weight, metric)).clamp(low, high)
        # 1/ψ, ψ the largest entry, is the longest inner step that descends
        weight, metric, one = weight / largest.flatten(), metric / largest, torch.ones_like(x)
        z, goes_on = x, torch.ones_like(weight, dtype=torch.bool)
        for _ in range(self.proximal_steps):
            new = clean + _PROXIMAL[p](z - metric * (z - x) - clean, weight, one)
            new = torch.where(expand(goes_on, x), new.clamp(low, high), z)
            goes_on = goes_on & (euclidean(new - z) > _SETTLED * euclidean(new - clean))
            z = new
        return z


# No entry of the metric is below this share of the largest: where a gradient was never felt the exact
# map takes the whole change away in a step, and none comes back on a network whose boundary is far.
_FLOOR = {0.0: 0.2, 1.0: 0.2, 2.0: 0.05, math.inf: 0.05}
# The inner iterations end where one moves the image by no more than this share of its change.
_SETTLED = 0.01
_PROXIMAL = {
    0.0: two_thirds,
    1.0: soft_threshold,
    2.0: shrink,
    math.inf: clip_largest,
}


# The least and the greatest spread of logits at which softplus of a margin tells near from far.
_NARROW, _WIDE = 1.0, 100.0


def _softplus(batch: Batch) -> Callable[[Tensor], Tensor]:
    """Return softplus of the margin, in units in which the clean logits have an ordinary spread.

    Far outside it softplus is flat or a line, and the weights of the two goals do not follow.
    """
    clean = batch.reference
    if clean is None:
        return lambda logits: functional.softplus(batch.margin(logits))
    spread = torch.where(clean.spread > 0, clean.spread, 1.0)
    factor = spread.clamp(_NARROW, _WIDE) / spread
    return lambda logits: functional.softplus(factor * batch.margin(logits))
