"""The L-BFGS attack: min c·‖δ‖² + CE(x + δ) in the box, for the largest c that still succeeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import MinimumNorm
from saddlepoint.attacks.core.final_search import final_projection
from saddlepoint.attacks.core.rounding import Reference
from saddlepoint.attacks.core.steps import start_of
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.option_values import BelowOne, Count, Natural, Positive
from saddlepoint.threat.norms import expand, norm, unit

_ARMIJO, _HALVINGS = 1e-4, 20
_SMALLEST, _LARGEST = 1e-20, 1e20
# The spread of the logits of the clean image, whatever it was.
_SPREAD = 20.0

Gain = Callable[[Batch, Tensor], Tensor]
"""From samples and their logits to what each of them ascends."""


@dataclass(frozen=True, kw_only=True)
class LBFGS(MinimumNorm):
    """Szegedy et al.'s attack: L-BFGS on c·‖δ‖² minus the log-probability of the target.

    c is ten times larger after a success and ten times smaller after a failure, until it is between
    the two; the bracket is then halved on the logarithm. Every sample has its own c, curvature
    history and line search. Untargeted, the log-probability is that of all classes but the label.

    Args:
        threat: L2.
        loss: "cross-entropy" is that, of the logits multiplied so that those of the clean image
            spread over 20: the scale of the model changes nothing. "softmax-cross-entropy" is the
            cross-entropy of the model's own softmax, with the target as published, untargeted with
            the label; where the model is confident its gradient vanishes, and the attack fails.
        steps: iterations per c at most.
        searches: values of c.
        initial_c: the first c, relative to the loss; None is the one that balances the two gradients
            at the boundary, if the loss were linear.
        history: pairs of steps and gradient differences kept.
        tolerance: a descent ends once a step lowers its loss by less than this share.
        bisections: final steps towards the clean image.

    >>> from saddlepoint.threat import L2
    >>> net, images = torch.nn.Flatten(), torch.tensor([[0.9, 0.3]])
    >>> result = LBFGS(L2())(net, images, torch.tensor([0]))
    >>> [round(float(d), 2) for d in result.distance]
    [0.42]
    """

    loss: Literal["cross-entropy", "softmax-cross-entropy"] = "cross-entropy"
    steps: Count = 50
    searches: Count = 10
    initial_c: Positive | None = None
    history: Count = 10
    tolerance: BelowOne = 1e-5
    bisections: Natural = 10

    norms = ("L2",)
    paper = "Szegedy et al. 2014, arXiv:1312.6199"
    cost = "some 100 to 300 each way"
    paper_options: ClassVar[Mapping[str, Any]] = {"loss": "softmax-cross-entropy", "bisections": 0}

    @property
    def expected_steps(self) -> int:
        """The passes as a rule; see `Attack`."""
        return 3 * super().expected_steps * self.searches

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Search for the largest weight on the distance that still succeeds."""
        start = start_of(batch, "clean", 0)
        logits, gradient = batch.gradient(batch.clean, batch.loss("margin"))
        slope = norm(gradient, 2)
        reach = batch.margin(logits).to(slope.dtype) / torch.where(slope > 0, slope, 1.0)
        factor = self._factor(logits).to(slope.dtype)
        c = factor * slope / (2 * reach.clamp_min(_SMALLEST))
        c = torch.where(slope > 0, c, 1.0).clamp(_SMALLEST, _LARGEST)
        if self.initial_c is not None:
            c = torch.full_like(c, self.initial_c)
        low, high = torch.zeros_like(c), torch.full_like(c, torch.inf)
        gain = self._gain(batch, tracker, factor)
        for _ in range(self.searches):
            found = self._descend(batch, tracker, start, c, gain)
            low, high = torch.where(found, c, low), torch.where(found, high, c)
            middle = (low * high).sqrt()
            c = torch.where(high.isinf(), 10 * low, torch.where(low == 0, high / 10, middle))
            c = c.clamp(_SMALLEST, _LARGEST)
        final_projection(batch, tracker, self.bisections)

    def _factor(self, logits: Float[Tensor, "m k"]) -> Float[Tensor, " m"]:
        """Return what the logits are multiplied by."""
        if self.loss == "softmax-cross-entropy":
            return torch.ones_like(logits[:, 0])
        spread = Reference.of(logits).spread
        return torch.where(spread > 0, _SPREAD / spread, 1.0).clamp(_SMALLEST, _LARGEST)

    def _gain(self, batch: Batch, tracker: Tracker, factor: Tensor) -> Gain:
        if self.loss == "softmax-cross-entropy":
            return lambda some, logits: some.criterion.cross_entropy(logits, some.goals)
        each = torch.ones_like(tracker.distance, dtype=factor.dtype)
        each[batch.index] = factor

        def gain(some: Batch, logits: Tensor) -> Tensor:
            scaled = logits * each[some.index].to(logits.dtype)[:, None]
            return functional.logsigmoid(some.criterion.log_odds(scaled, some.goals))

        return gain

    def _descend(self, batch: Batch, tracker: Tracker, x: Tensor, c: Tensor, gain: Gain) -> Tensor:
        """Minimise at these c from `x`; return who succeeded on the way."""
        success = torch.zeros_like(c, dtype=torch.bool)
        rows = torch.arange(len(batch), device=c.device)
        loss, gradient, fooled = _evaluate(batch, tracker, x, c, gain)
        success |= fooled
        pairs: list[tuple[Tensor, Tensor]] = []
        for _ in range(self.steps):
            low, high = batch.bounds
            stuck = ((x <= low) & (gradient > 0)) | ((x >= high) & (gradient < 0))
            free = torch.where(stuck, 0.0, gradient)
            direction = torch.where(stuck, 0.0, -two_loops(free, pairs))
            downhill = _dot(direction, free) < 0
            direction = torch.where(expand(downhill, x), direction, -free)
            rate = torch.ones_like(c)
            if not pairs:  # no curvature is known: a step of about the distance to the boundary
                direction, rate = -unit(free, 2), torch.full_like(c, 0.5)
            z, value, slope = x, loss, gradient
            trying = norm(free, 2) > 0
            moved = torch.zeros_like(trying)
            for _ in range(_HALVINGS):
                todo = (trying & ~moved).nonzero().squeeze(1)
                if not len(todo):
                    break
                some = batch.at(todo)
                step = x[todo] + expand(rate[todo], x) * direction[todo]
                at = step.clamp(low[todo], high[todo])
                after, change, fooled = _evaluate(some, tracker, at, c[todo], gain)
                success[rows[todo]] |= fooled
                decrease = _dot(gradient[todo], at - x[todo])
                good = (after <= loss[todo] + _ARMIJO * decrease) & (after < loss[todo])
                take = todo[good]
                z, value, slope = (
                    old.index_copy(0, take, new[good])
                    for old, new in ((z, at), (value, after), (slope, change))
                )
                moved = moved.index_copy(0, take, torch.ones_like(moved[take]))
                rate = torch.where(moved, rate, rate / 2)
            pairs = [*pairs, (z - x, slope - gradient)][-self.history :]
            go = moved & (loss - value > self.tolerance * loss.abs())
            x, loss, gradient = z, value, slope
            if not bool(go.any()):
                break
            batch, rows = batch.at(go), rows[go]
            x, loss, gradient, c = x[go], loss[go], gradient[go], c[go]
            pairs = [(s[go], y[go]) for s, y in pairs]
        return success


def two_loops(gradient: Tensor, pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Return the inverse Hessian of each sample's history times its gradient.

    Pairs (step, gradient difference) without positive curvature are passed over, sample by sample.

    >>> step, gradient = torch.tensor([[1.0, 0.0]]), torch.tensor([[4.0, 0.0]])
    >>> two_loops(gradient, [(step, 4 * step)])
    tensor([[1., 0.]])
    """
    q, weights = gradient, []
    scale = torch.ones_like(gradient.flatten(1)[:, 0])
    for s, y in reversed(pairs):
        curvature, square = _dot(s, y), _dot(y, y)
        usable = curvature > 1e-10 * square.sqrt() * _dot(s, s).sqrt()
        inverse = torch.where(usable, 1 / torch.where(usable, curvature, 1.0), 0.0)
        a = inverse * _dot(s, q)
        q = q - expand(a, q) * y
        weights.append((a, inverse, curvature, square))
    for _, inverse, curvature, square in reversed(weights):  # the newest usable pair scales
        scale = torch.where(inverse > 0, curvature / torch.where(square > 0, square, 1.0), scale)
    r = expand(scale, q) * q
    for (s, y), (a, inverse, _, _) in zip(pairs, reversed(weights), strict=True):
        r = r + expand(a - inverse * _dot(y, r), r) * s
    return r


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(1)


def _evaluate(
    batch: Batch, tracker: Tracker, x: Tensor, c: Tensor, gain: Gain
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the loss, its gradient, and who is fooled at `x`."""
    logits, rise = batch.gradient(x, lambda z: gain(batch, z))
    tracker.record(batch, x, logits)
    change = x - batch.clean
    loss = c * _dot(change, change) - gain(batch, logits).to(c.dtype)
    fooled = batch.surely_fooled(logits)
    return loss, 2 * expand(c, x) * change - rise, fooled
