"""HopSkipJump: the nearest fooling point from decisions alone, along the model's boundary."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import MinimumNorm
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.errors import InputError
from saddlepoint.option_values import Count, Positive
from saddlepoint.threat.norms import expand, unit

# Probes of one sample drawn together, and numbers drawn together: both bound the memory.
_PROBES_AT_ONCE = 10
_NUMBERS_AT_ONCE = 1 << 20
_HALVINGS = 30
_FINE = 1e-4


@dataclass(frozen=True, kw_only=True)
class HopSkipJump(MinimumNorm):
    """Bisect to the boundary, estimate its normal from probes around, jump along it, and again.

    Step t takes B_t = initial_probes·√t points around the boundary point and averages their
    directions, each with the sign of the decision there. The jump begins at distance/√t and is
    halved until the model is fooled. Only decisions are used: the model may return one-hot classes.

    A start is a uniform random image, the first of `draws` that fools; without one the attack
    fails and the distance is infinity. Random images seldom have a target's class: give `starts`
    of that class to a targeted attack.

    Args:
        threat: L2 or Linf, without a budget.
        steps: iterations.
        initial_probes: B_1.
        max_probes: the most probes of a step.
        gamma: the bisection ends at a share γ/d^1.5 (L2) or γ/d² (Linf) of the distance, d the
            number of features, or at 1e-4 where that is less; probes are taken √d (d) times the
            share away.
        draws: random images tried as starts.

    >>> from saddlepoint.threat import L2
    >>> class OneHot(torch.nn.Module):
    ...     def forward(self, x):
    ...         return torch.nn.functional.one_hot(x.argmax(1), 2) * 9.0
    >>> image, label = torch.tensor([[0.9, 0.2]]), torch.tensor([0])
    >>> result = HopSkipJump(L2(), steps=10)(OneHot(), image, label)
    >>> 0.4949 < float(result.distance) < 0.51  # the boundary is at 0.7/√2 = 0.49497
    True
    """

    steps: Count = 40
    initial_probes: Count = 100
    max_probes: Count = 10_000
    gamma: Positive = 1.0
    draws: Count = 100

    norms = ("L2", "Linf")
    paper = "Chen et al. 2020, arXiv:1904.02144"
    cost = "about 18,000 forward (40 steps)"
    gradient_free = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.initial_probes > self.max_probes:
            raise InputError(
                f"initial_probes is {self.initial_probes}, max_probes {self.max_probes};"
                " give no more at first than at most"
            )

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Walk along the boundary from a random start."""
        batch, x = self._start(batch, tracker)
        if not len(batch):
            return
        theta = min(self._theta(batch), _FINE)
        x = _to_boundary(batch, tracker, x, theta)
        for step in range(1, self.steps + 1):
            length = batch.distance(x)
            probes = min(round(self.initial_probes * math.sqrt(step)), self.max_probes)
            direction = self._direction(batch, x, self._reach(batch, length, step), step, probes)
            jumped, moved = _jump(batch, tracker, x, direction, length / math.sqrt(step))
            rows = moved.nonzero().squeeze(1)
            if len(rows):
                back = _to_boundary(batch.at(rows), tracker, jumped[rows], theta)
                x = x.index_copy(0, rows, back)

    def _start(self, batch: Batch, tracker: Tracker) -> tuple[Batch, Tensor]:
        """Return the samples that have a fooling start, and the starts."""
        low, high = batch.bounds
        waiting = tracker.distance[batch.index].isinf()
        if bool(waiting.any()) and not bool((high - low).isfinite().all()):
            raise InputError(
                f"{batch.threat} has no valid range to draw random starts from; give `starts` that fool"
            )
        for draw in range(self.draws):
            rows = tracker.distance[batch.index].isinf().nonzero().squeeze(1)
            if not len(rows):
                break
            some = batch.at(rows)
            noise = some.keys.uniform(low.shape[1:], step=0, restart=draw).to(low.dtype)
            x = low[rows] + (high - low)[rows] * noise
            tracker.record(some, x, some.logits(x))
        batch = batch.at(tracker.distance[batch.index].isfinite())
        return batch, batch.threat.parametrise(tracker.images[batch.index])

    def _theta(self, batch: Batch) -> float:
        d = math.prod(batch.images.shape[1:])
        return self.gamma / math.pow(d, 1.5 if batch.ball.p == 2 else 2.0)

    def _reach(self, batch: Batch, length: Tensor, step: int) -> Float[Tensor, " m"]:
        """Return how far from the boundary point the probes are."""
        d = math.prod(batch.images.shape[1:])
        near = length * self._theta(batch) * (math.sqrt(d) if batch.ball.p == 2 else d)
        if step > 1:
            return near
        low, high = batch.bounds
        width = (high - low).flatten(1).amax(1)
        return torch.where(width.isfinite(), 0.1 * width, near)

    def _direction(
        self, batch: Batch, x: Tensor, reach: Tensor, step: int, probes: int
    ) -> Float[Tensor, "m ..."]:
        """Return the estimated direction into the fooled side, the norm's own steepest one."""
        numbers = _PROBES_AT_ONCE * math.prod(x.shape[1:])
        rows = torch.arange(len(x), device=x.device)
        parts = torch.split(rows, max(1, _NUMBERS_AT_ONCE // numbers))
        estimates = [_estimate(batch.at(p), x[p], reach[p], step, probes) for p in parts]
        normal = torch.cat(estimates)
        return unit(normal, 2) if batch.ball.p == 2 else normal.sign()


def _estimate(
    batch: Batch, x: Tensor, reach: Tensor, step: int, probes: int
) -> Float[Tensor, "m ..."]:
    """Return Σ (φ_b − mean φ)·u_b over the probes, φ = 1 where fooled and −1 elsewhere."""
    low, high = batch.bounds
    fooled, total, signed = torch.zeros_like(reach), torch.zeros_like(x), torch.zeros_like(x)
    many = torch.arange(len(x), device=x.device)
    for first in range(0, probes, _PROBES_AT_ONCE):
        count = min(_PROBES_AT_ONCE, probes - first)
        u = _noise(batch, (_PROBES_AT_ONCE, *x.shape[1:]), step, first)[:, :count].flatten(0, 1)
        rows = many.repeat_interleave(count)
        u = unit(u.to(x.dtype), 2)
        at = (x[rows] + expand(reach[rows], u) * u).clamp(low[rows], high[rows])
        u = (at - x[rows]) / expand(reach[rows].clamp_min(torch.finfo(x.dtype).tiny), u)
        sign = 2.0 * _fooled(batch, rows, at).to(x.dtype) - 1.0
        fooled += sign.reshape(-1, count).sum(1)
        total += u.reshape(-1, count, *x.shape[1:]).sum(1)
        signed += (expand(sign, u) * u).reshape(-1, count, *x.shape[1:]).sum(1)
    mean = fooled / probes
    # Where all agree the mean says everything, and taking it away would leave nothing.
    baseline = torch.where(mean.abs() == 1, 0.0, mean)
    return signed - expand(baseline, x) * total


def _noise(batch: Batch, shape: tuple[int, ...], step: int, first: int) -> Tensor:
    keys = batch.keys
    if batch.ball.p == 2:
        return keys.normal(shape, step=step, draw=first)
    return 2.0 * keys.uniform(shape, step=step, draw=first) - 1.0


def _fooled(batch: Batch, rows: Tensor, x: Tensor) -> Bool[Tensor, " r"]:
    """Return which of the points `x`, of the samples `rows`, fool."""
    many = batch.at(rows)
    return many.margin(many.logits(x)) < 0


def _to_boundary(batch: Batch, tracker: Tracker, x: Tensor, theta: float) -> Float[Tensor, "m ..."]:
    """Return fooling points towards the clean images, at most a share `theta` off the boundary."""
    clean, length = batch.clean, batch.distance(x)
    low, high = torch.zeros_like(length), torch.ones_like(length)
    for _ in range(math.ceil(-math.log2(theta))):
        share = (low + high) / 2
        z = _nearer(batch, clean, x, share, length)
        logits = batch.logits(z)
        tracker.record(batch, z, logits)
        fooled = batch.margin(logits) < 0
        low, high = torch.where(fooled, low, share), torch.where(fooled, share, high)
    return _nearer(batch, clean, x, high, length)


def _nearer(batch: Batch, clean: Tensor, x: Tensor, share: Tensor, length: Tensor) -> Tensor:
    """Return `x` drawn back to a share of its distance: along the segment, or clipped in Linf."""
    delta = x - clean
    if batch.ball.p == 2:
        return torch.where(expand(share == 1, x), x, clean + expand(share, x) * delta)
    limit = expand(share * length, x)
    return torch.where(expand(share == 1, x), x, clean + delta.clamp(-limit, limit))


def _jump(
    batch: Batch, tracker: Tracker, x: Tensor, direction: Tensor, size: Tensor
) -> tuple[Float[Tensor, "m ..."], Bool[Tensor, " m"]]:
    """Return the first fooling point on the way halved again and again, and whose there is."""
    low, high = batch.bounds
    size, moved = size.clone(), torch.zeros(len(x), dtype=torch.bool, device=x.device)
    jumped = x.clone()
    rows = torch.arange(len(x), device=x.device)
    for _ in range(_HALVINGS):
        some = batch.at(rows)
        z = (x + expand(size, x) * direction)[rows].clamp(low[rows], high[rows])
        logits = some.logits(z)
        tracker.record(some, z, logits)
        fooled = some.margin(logits) < 0
        jumped[rows[fooled]], moved[rows[fooled]] = z[fooled], True
        rows = rows[~fooled]
        if not len(rows):
            break
        size[rows] /= 2
    return jumped, moved
