"""ALMA: an augmented Lagrangian in place of a search over the weight of the class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import MinimumNorm
from saddlepoint.attacks.core.criteria import Targeted
from saddlepoint.attacks.core.directions import RandomDirections
from saddlepoint.attacks.core.final_search import final_search
from saddlepoint.attacks.core.steps import start_of
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.attacks.geometry.boundaries import BEYOND
from saddlepoint.option_values import BelowOne, Count, Natural, Positive
from saddlepoint.threat.norms import expand, unit

_FIRST_LENGTH = {1.0: 0.5, 2.0: 0.1}
_HALVINGS = 40
_LEAST, _MOST = 1e-6, 1e12
_FURTHEST = 1e9  # an infinite bound, as a number
_NEARLY = 0.99
_DECAY = 0.01
"""The share of the rate that is left at the end."""


@dataclass
class _Multipliers:
    """μ and ρ of each sample, and what decides about them."""

    mu: Float[Tensor, " m"]
    rho: Float[Tensor, " m"]
    before: Float[Tensor, " m"]
    found: Bool[Tensor, " m"]

    def at_step(self, step: int, y: Float[Tensor, " m"], smoothing: float) -> _Multipliers:
        """Return them at an iterate with the constraint `y`; μ follows the penalty's slope."""
        rho, before = self.rho, self.before
        if step == 0:
            return _Multipliers(self.mu, rho, y, self.found | (y < 0))
        if (step + 1) % 10 == 0:
            rho = torch.where(self.found | (y < 0.95 * before), rho, 1.2 * rho)
            before = y
        mu = smoothing * self.mu + (1 - smoothing) * penalty_slope(y, rho, self.mu)
        return _Multipliers(mu.clamp(_LEAST, _MOST), rho, before, self.found | (y < 0))


@dataclass(frozen=True, kw_only=True)
class ALMA(MinimumNorm):
    """The augmented Lagrangian method: min D + P(y, ρ, μ) with y = margin / (Z_π1 − Z_π3).

    P = μy + μρy² + ρ²y³/6 where y ≥ 0, else μy/(1 − ρy). μ follows ∂P/∂y; ρ grows while a sample
    has not been fooled and y does not fall. The step is RMSProp's with momentum; its rate is fixed
    by the length of the first step, and falls from a sample's first success on.

    Two departures: towards a target the divisor of y is held constant in the gradient, without
    which most targets are never reached; and with fewer than three logits the divisor is the size
    of the margin at the clean image.

    Args:
        steps: iterations, a pass each way.
        first_length: the distance of the first step in the norm; None is 0.5 in L1, 0.1 in L2.
        smoothing: how much of the past RMSProp, the momentum and μ keep; the paper has 0.9 for 1000
            steps and 0.5 for 100; None is that.
        bisections: forward passes at the end that pull the result towards the image; 0 is as
            published.

    >>> from saddlepoint.threat import L2
    >>> net, x = torch.nn.Flatten(), torch.tensor([[0.9, 0.2]])
    >>> result = ALMA(L2(), steps=100)(net, x, torch.tensor([0]))
    >>> f"{float(result.distance):.3f}"
    '0.495'
    """

    steps: Count = 1000
    first_length: Positive | None = None
    smoothing: BelowOne | None = None
    bisections: Natural = 10

    norms = ("L1", "L2")
    paper = "Rony et al. 2021, arXiv:2011.11857"
    cost = "steps (1000) each way, up to 11 forward"
    paper_options: ClassVar[Mapping[str, Any]] = {"bisections": 0}

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Descend on the Lagrangian, move the multipliers."""
        clean, (low, high) = batch.clean, batch.bounds
        x = start_of(batch, "clean", 0)
        square, velocity = torch.ones_like(clean), torch.zeros_like(clean)
        ones = torch.ones_like(clean.flatten(1)[:, 0])
        first, constraint = torch.full_like(ones, self.steps), _Constraint(batch)
        state = _Multipliers(ones, ones, ones, torch.zeros_like(ones, dtype=torch.bool))
        rate, past = ones, self._past()
        for step in range(self.steps):

            def lagrangian(logits: Tensor, state: _Multipliers = state, step: int = step) -> Tensor:
                y = constraint(logits)
                now = state.at_step(step, y.detach(), past)
                return penalty(y, now.rho, now.mu)

            logits, gradient = batch.gradient(x, lagrangian)
            tracker.record(batch, x, logits)
            state = state.at_step(step, constraint(logits), past)
            if step == 0:
                gradient = _never_zero(batch, gradient)
            else:
                gradient = gradient + self._distance_slope(batch, x)
            first = torch.where(state.found, first.clamp_max(step), first)
            square = past * square + (1 - past) * gradient.square()
            direction = gradient / (square.sqrt() + 1e-8)
            if step == 0:
                rate = self._rate(batch, direction)
            since = (step - first).clamp_min(0) / (self.steps - first).clamp_min(1)
            velocity = past * velocity + direction
            x = (x - expand(rate * _DECAY**since, x) * velocity).clamp(low, high)
        tracker.offer(batch, x)
        final_search(batch, tracker, self.bisections)

    def _past(self) -> float:
        if self.smoothing is not None:
            return self.smoothing
        return 0.9 if self.steps > 300 else 0.5

    def _distance_slope(self, batch: Batch, x: Float[Tensor, "m ..."]) -> Float[Tensor, "m ..."]:
        change = x - batch.clean
        return change.sign() if batch.ball.p == 1 else unit(change, 2)

    def _rate(self, batch: Batch, direction: Float[Tensor, "m ..."]) -> Float[Tensor, " m"]:
        """Return the rate at which the first step has its length, or nearly all that there is.

        Where nothing can move, the rate is 0.
        """
        clean, (low, high) = batch.clean, batch.bounds
        edge = torch.where(direction > 0, low, torch.where(direction < 0, high, clean))
        most = batch.distance(edge.clamp(-_FURTHEST, _FURTHEST))
        length = (_NEARLY * most).clamp_max(self.first_length or _FIRST_LENGTH[batch.ball.p])
        steepest = direction.flatten(1).abs().amax(1)
        # In the steepest entry alone no rate below this goes further than the length.
        near = torch.zeros_like(steepest)
        far = torch.where(length > 0, length / steepest, 0.0)
        for _ in range(_HALVINGS):
            short = (
                batch.distance((clean - expand(far, clean) * direction).clamp(low, high)) < length
            )
            if not clean.is_cuda and not bool(short.any()):
                break
            far = torch.where(short, 2 * far, far)
        for _ in range(20):
            rate = (near + far) / 2
            z = (clean - expand(rate, clean) * direction).clamp(low, high)
            long = batch.distance(z) > length
            near, far = torch.where(long, near, rate), torch.where(long, rate, far)
        return (near + far) / 2


class _Constraint:
    """y of each sample: below 0 where fooled, whatever the scale of the logits."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.size: Tensor | None = None

    def __call__(self, logits: Float[Tensor, "m k"]) -> Float[Tensor, " m"]:
        margin = self.batch.margin(logits)
        # Short of the boundary by as much as the tracker asks for: below 0 is a sure success.
        margin = margin + BEYOND * self.batch.rounding(logits)
        if self.size is None:
            self.size = margin.detach().abs().clamp_min(1e-30)
        if logits.shape[1] < 3:
            return margin / self.size
        live = self.batch.live(logits).sum(1)
        # A target low among the logits gains more by pulling the others apart than by rising.
        spread = logits.detach() if isinstance(self.batch.criterion, Targeted) else logits
        ordered = torch.where((live > 2)[:, None], spread, 0.0).topk(3, dim=1).values
        scale = torch.where(live > 2, ordered[:, 0] - ordered[:, 2] + 1e-30, self.size)
        # With one class alone nothing is ever fooled, and no margin is a number.
        return torch.where(live > 1, margin, 1.0) / torch.where(live > 1, scale, 1.0)


def penalty(
    y: Float[Tensor, " m"], rho: Float[Tensor, " m"], mu: Float[Tensor, " m"]
) -> Float[Tensor, " m"]:
    """Return P(y, ρ, μ), the paper's P₂: convex, rising, with slope μ at 0.

    >>> one = torch.ones(2)
    >>> penalty(torch.tensor([-1.0, 1.0]), one, one)
    tensor([-0.5000,  2.1667])
    """
    above = mu * y + mu * rho * y**2 + rho**2 * y**3 / 6
    return torch.where(y >= 0, above, mu * y / (1 - rho * y.clamp_max(0)))


def penalty_slope(
    y: Float[Tensor, " m"], rho: Float[Tensor, " m"], mu: Float[Tensor, " m"]
) -> Float[Tensor, " m"]:
    """Return ∂P/∂y.

    >>> one = torch.ones(3)
    >>> penalty_slope(torch.tensor([-1.0, 0.0, 1.0]), one, one)
    tensor([0.2500, 1.0000, 3.5000])
    """
    above = mu + 2 * mu * rho * y + rho**2 * y**2 / 2
    return torch.where(y >= 0, above, mu / (1 - rho * y.clamp_max(0)).square())


def _never_zero(batch: Batch, gradient: Float[Tensor, "m ..."]) -> Float[Tensor, "m ..."]:
    """Return the gradient, or a random direction where it is zero: the first step must go
    somewhere.
    """
    small = gradient.flatten(1).abs().amax(1) <= 1e-6
    if not gradient.is_cuda and not bool(small.any()):
        return gradient
    drawn = RandomDirections(batch).at(0).to(gradient.dtype)
    return torch.where(expand(small, gradient), drawn, gradient)
