"""How APGD moves and when it changes its mind: momentum and halving in Linf and L2, sparse steps in
L1.

Everything is a tensor with one row per sample, so that a loop can drop rows of all of it at once.
"""

from __future__ import annotations

import math
from typing import NamedTuple, cast

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.steps import ascendable
from saddlepoint.threat import L1
from saddlepoint.threat.norms import expand


class Ascent(NamedTuple):
    """Where each sample is, and the highest point it has seen.

    Attributes:
        x, gradient, value: the present iterate, and the loss and its gradient there.
        top, slope, peak: the same of the iterate of largest loss.
        targets: (m,) the classes that the loss raises.
    """

    x: Float[Tensor, "m ..."]
    gradient: Float[Tensor, "m ..."]
    value: Float[Tensor, " m"]
    top: Float[Tensor, "m ..."]
    slope: Float[Tensor, "m ..."]
    peak: Float[Tensor, " m"]
    targets: Int64[Tensor, " m"]

    @staticmethod
    def begin(x: Float[Tensor, "m ..."], targets: Int64[Tensor, " m"]) -> Ascent:
        """Return the state before the first pass."""
        low = torch.full((len(x),), -math.inf, dtype=x.dtype, device=x.device)
        return Ascent(x, torch.zeros_like(x), low, x, torch.zeros_like(x), low, targets)

    def at(self, value: Float[Tensor, " m"], gradient: Float[Tensor, "m ..."]) -> Ascent:
        """Take note of the loss and its gradient at `x`."""
        value = value.to(self.peak.dtype)
        higher = value > self.peak
        rows = expand(higher, self.x)
        return self._replace(
            gradient=gradient,
            value=value,
            top=torch.where(rows, self.x, self.top),
            slope=torch.where(rows, gradient, self.slope),
            peak=torch.where(higher, value, self.peak),
        )

    def back(self, rows: Bool[Tensor, " m"]) -> Ascent:
        """Return with the samples `rows` put back on their highest points."""
        where = expand(rows, self.x)
        return self._replace(
            x=torch.where(where, self.top, self.x),
            gradient=torch.where(where, self.slope, self.gradient),
        )


def checkpoints(steps: int) -> dict[int, int]:
    """Return the steps at which APGD decides about its step length, with the length of the
    interval before each.

    >>> checkpoints(100)
    {22: 22, 41: 19, 57: 16, 70: 13, 80: 10, 87: 7, 93: 6, 99: 6}
    """
    found, last, share, gap = {}, 0, 0, 22
    while share + gap < 100:  # in hundredths, free of rounding
        share, gap = share + gap, max(gap - 3, 6)
        at = -(-share * steps // 100)
        if last < at < steps:
            found[at], last = at - last, at
    return found


class Momentum(NamedTuple):
    """z = Π(x + η·d(∇L)), x⁺ = Π(x + ¾(z − x) + ¼(x − x⁻)); η starts at twice the budget.

    Attributes:
        before: x⁻.
        length: η.
        value: the loss at x⁻.
        rises: steps since the last checkpoint that raised the loss.
        halved: whether η was halved at the last checkpoint.
        peak: the largest loss at the last checkpoint.

    Reference: Croce and Hein 2020, arXiv:2003.01690, Algorithm 1.
    """

    before: Float[Tensor, "m ..."]
    length: Float[Tensor, " m"]
    value: Float[Tensor, " m"]
    rises: Int64[Tensor, " m"]
    halved: Bool[Tensor, " m"]
    peak: Float[Tensor, " m"]

    @staticmethod
    def begin(batch: Batch, x: Float[Tensor, "m ..."]) -> Momentum:
        """Return the state before the first step."""
        length = 2 * batch.threat.radius(batch.images)
        none = torch.full_like(length, math.inf)
        zero = torch.zeros_like(length, dtype=torch.int64)
        return Momentum(x, length, none, zero, zero == 0, -none)

    def adapt(
        self, batch: Batch, ascent: Ascent, interval: int, rho: float
    ) -> tuple[Momentum, Ascent]:
        """Count a rise; at the end of an `interval` (0: not yet) halve the steps that do not
        help.
        """
        rises = self.rises + (ascent.value > self.value)
        here = self._replace(value=ascent.value, rises=rises)
        if not interval:
            return here, ascent
        # Few steps rose, or with this very length none rose above all before.
        halve = (rises < rho * interval) | (~self.halved & (ascent.peak <= self.peak))
        # A fresh zero and a copy-free but never in-place `peak`: an alias of the loss that is
        # updated in place would say "no progress" every time.
        here = here._replace(
            length=torch.where(halve, self.length / 2, self.length),
            rises=torch.zeros_like(rises),
            halved=halve,
            peak=ascent.peak,
        )
        return here, ascent.back(halve)

    def move(self, batch: Batch, ascent: Ascent, first: bool) -> tuple[Momentum, Tensor]:
        """Return the state and the next iterate."""
        x = ascent.x
        step = ascendable(batch).steepest_direction(ascent.gradient, x, 1, self.length)
        z = batch.project(x + expand(self.length, x) * step)
        if not first:
            z = batch.project(x + 0.75 * (z - x) + 0.25 * (x - self.before))
        return self._replace(before=x), z


# As in the paper: the support over 1.5, η over 1.5 down to a tenth of the budget, a support that
# has fallen below 95 %.
_SHRINK, _LEAST, _FALLEN = 1.5, 0.1, 0.95


class Sparse(NamedTuple):
    """x⁺ = Π(x + η·d_k(∇L)), the step shared by the k largest coordinates; k follows the support of
    the best perturbation.

    Attributes:
        length: η, at most the budget.
        k: the coordinates that share a step.
        support: the coordinates that the best perturbation changed at the last checkpoint.

    Reference: Croce and Hein 2021, arXiv:2103.01208, Algorithm 1.
    """

    length: Float[Tensor, " m"]
    k: Int64[Tensor, " m"]
    support: Int64[Tensor, " m"]

    @staticmethod
    def begin(batch: Batch, x: Float[Tensor, "m ..."], fresh: bool) -> Sparse:
        """Return the state before the first step from `x`: a `fresh` start says nothing of k."""
        support = _support(batch, x)
        d = x[:1].numel()
        if fresh:
            support = torch.full_like(support, d)
            k = torch.full_like(support, d // 5)
        else:
            k = (support / _SHRINK).long()
        return Sparse(batch.threat.radius(batch.images).clone(), k, support)

    def adapt(
        self, batch: Batch, ascent: Ascent, interval: int, rho: float
    ) -> tuple[Sparse, Ascent]:
        """At the end of an `interval` (0: not yet) take k and η from the support of the best."""
        if not interval:
            return self, ascent
        support = _support(batch, ascent.top)
        fallen = support < _FALLEN * self.support
        most = batch.threat.radius(batch.images)
        slower = (self.length / _SHRINK).maximum(_LEAST * most)
        length = torch.where(fallen, most, slower)
        return Sparse(length, (support / _SHRINK).long(), support), ascent.back(fallen)

    def move(self, batch: Batch, ascent: Ascent, first: bool) -> tuple[Sparse, Tensor]:
        """Return the state and the next iterate."""
        x = ascent.x
        # Without the length: an overshoot of the range costs nothing, since the projection takes it
        # back before it takes from others. It left up to a fifth fewer images standing.
        step = cast(L1, batch.ball).steepest_direction(ascent.gradient, x, self.k)
        return self, batch.project(x + expand(self.length, x) * step)


def _support(batch: Batch, x: Tensor) -> Tensor:
    return (x != batch.clean).flatten(1).sum(1)
