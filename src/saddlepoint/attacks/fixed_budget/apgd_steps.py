"""APGD's states and steps: momentum with a halving η in Linf and L2, sparse steps in L1.

Everything is a tensor with one row per sample, so that a loop can drop rows of all of it at once.
"""

from __future__ import annotations

import math
from typing import NamedTuple, cast

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.threat import L1
from saddlepoint.threat.norms import expand

# As in the papers: the weight of a step against the momentum's; the support over 1.5, η over 1.5
# down to a tenth of the budget, and a support that has dropped below 95 %.
_ALPHA, _SUPPORT_FACTOR, _MIN_ETA, _SUPPORT_DROP = 0.75, 1.5, 0.1, 0.95


class Ascent(NamedTuple):
    """Each sample's iterate x_k and its x_max, the iterate of largest loss f so far.

    Attributes:
        x, gradient, f: x_k, and the loss and its gradient there.
        x_best, gradient_best, f_best: the same at x_max.
        targets: (m,) the classes that the loss raises.
    """

    x: Float[Tensor, "m ..."]
    gradient: Float[Tensor, "m ..."]
    f: Float[Tensor, " m"]
    x_best: Float[Tensor, "m ..."]
    gradient_best: Float[Tensor, "m ..."]
    f_best: Float[Tensor, " m"]
    targets: Int64[Tensor, " m"]

    @staticmethod
    def begin(x: Float[Tensor, "m ..."], targets: Int64[Tensor, " m"]) -> Ascent:
        """Return the state before the first pass."""
        low = torch.full((len(x),), -math.inf, dtype=x.dtype, device=x.device)
        return Ascent(x, torch.zeros_like(x), low, x, torch.zeros_like(x), low, targets)

    def observe(self, f: Float[Tensor, " m"], gradient: Float[Tensor, "m ..."]) -> Ascent:
        """Return the state with the loss and its gradient at `x`, which may be the new x_max."""
        f = f.to(self.f_best.dtype)
        higher = f > self.f_best
        where = expand(higher, self.x)
        return self._replace(
            gradient=gradient,
            f=f,
            x_best=torch.where(where, self.x, self.x_best),
            gradient_best=torch.where(where, gradient, self.gradient_best),
            f_best=torch.where(higher, f, self.f_best),
        )

    def back(self, samples: Bool[Tensor, " m"]) -> Ascent:
        """Return the state with these samples put back on their x_max."""
        where = expand(samples, self.x)
        return self._replace(
            x=torch.where(where, self.x_best, self.x),
            gradient=torch.where(where, self.gradient_best, self.gradient),
        )


def checkpoints(steps: int) -> dict[int, int]:
    """Return APGD's checkpoints w_j = ⌈p_j·steps⌉, each with the interval w_j − w_{j−1} before it.

    p_1 is 0.22, and the gaps of p shrink by 0.03 each down to 0.06.

    >>> checkpoints(100)
    {22: 22, 41: 19, 57: 16, 70: 13, 80: 10, 87: 7, 93: 6, 99: 6}
    """
    found, last, p, gap = {}, 0, 0, 22
    while p + gap < 100:  # in hundredths, free of rounding
        p, gap = p + gap, max(gap - 3, 6)
        w = -(-p * steps // 100)
        if last < w < steps:
            found[w], last = w - last, w
    return found


class Momentum(NamedTuple):
    """z = Π(x_k + η·d), x_{k+1} = Π(x_k + α·(z − x_k) + (1 − α)·(x_k − x_{k−1})); η is 2·eps at first.

    Attributes:
        x_before: x_{k−1}.
        eta: η.
        f_before: the loss at x_{k−1}.
        rises: steps since the last checkpoint that raised the loss.
        halved: whether η was halved at the last checkpoint.
        f_best_at_checkpoint: the loss of x_max at the last checkpoint.

    Reference: Croce and Hein 2020, arXiv:2003.01690, Algorithm 1.
    """

    x_before: Float[Tensor, "m ..."]
    eta: Float[Tensor, " m"]
    f_before: Float[Tensor, " m"]
    rises: Int64[Tensor, " m"]
    halved: Bool[Tensor, " m"]
    f_best_at_checkpoint: Float[Tensor, " m"]

    @staticmethod
    def begin(batch: Batch, x: Float[Tensor, "m ..."]) -> Momentum:
        """Return the state before the first step."""
        eta = 2 * batch.threat.radius(batch.images)
        # x_0 has no loss before it, so that it is no rise (+inf), and the first checkpoint has none
        # before it, so that condition 2 does not hold there (halved).
        infinite = torch.full_like(eta, math.inf)
        zero = torch.zeros_like(eta, dtype=torch.int64)
        return Momentum(x, eta, infinite, zero, zero == 0, -infinite)

    def adapt(
        self, batch: Batch, ascent: Ascent, interval: int, rho: float
    ) -> tuple[Momentum, Ascent]:
        """Count whether the loss rose; at a checkpoint, where `interval` is not 0, halve η and go
        back to x_max where condition 1 or 2 of the paper holds.
        """
        rises = self.rises + (ascent.f > self.f_before)
        here = self._replace(f_before=ascent.f, rises=rises)
        if not interval:
            return here, ascent
        # Condition 1: too few steps raised the loss. Condition 2: η was kept at the last checkpoint,
        # and f_max has not risen since.
        stuck = ~self.halved & (ascent.f_best <= self.f_best_at_checkpoint)
        halve = (rises < rho * interval) | stuck
        # `f_best` need not be copied, since nothing writes into it: if something did, it would
        # change here too, and condition 2 would hold at every checkpoint.
        here = here._replace(
            eta=torch.where(halve, self.eta / 2, self.eta),
            rises=torch.zeros_like(rises),
            halved=halve,
            f_best_at_checkpoint=ascent.f_best,
        )
        return here, ascent.back(halve)

    def move(self, batch: Batch, ascent: Ascent, first: bool) -> tuple[Momentum, Tensor]:
        """Return the state and x_{k+1}; the `first` step, x_1 = Π(x_0 + η·d), has no momentum."""
        x = ascent.x
        d = batch.ascendable.steepest_direction(ascent.gradient, x, 1, self.eta)
        z = batch.project(x + expand(self.eta, x) * d)
        if not first:
            z = batch.project(x + _ALPHA * (z - x) + (1 - _ALPHA) * (x - self.x_before))
        return self._replace(x_before=x), z


class Sparse(NamedTuple):
    """x_{i+1} = Π(x_i + η·d), d shared by the `k` coordinates of largest gradient.

    `k` follows the support of x_max, the coordinates that it has changed.

    Attributes:
        eta: η, at most the budget.
        k: the coordinates that share a step.
        support: how many coordinates x_max had changed at the last checkpoint.

    Reference: Croce and Hein 2021, arXiv:2103.01208, Algorithm 1.
    """

    eta: Float[Tensor, " m"]
    k: Int64[Tensor, " m"]
    support: Int64[Tensor, " m"]

    @staticmethod
    def begin(batch: Batch, x: Float[Tensor, "m ..."], random_start: bool) -> Sparse:
        """Return the state before the first step from `x`; a random start's support says nothing
        of k.
        """
        support = _support(batch, x)
        d = x[:1].numel()
        if random_start:
            support = torch.full_like(support, d)
            k = torch.full_like(support, d // 5)  # the paper's 0.2·d
        else:
            k = (support / _SUPPORT_FACTOR).long()
        return Sparse(batch.threat.radius(batch.images).clone(), k, support)

    def adapt(
        self, batch: Batch, ascent: Ascent, interval: int, rho: float
    ) -> tuple[Sparse, Ascent]:
        """At a checkpoint, where `interval` is not 0, take k and η from the support of x_max; where
        it has dropped, η is the budget again, and the ascent goes on from x_max.
        """
        if not interval:
            return self, ascent
        support = _support(batch, ascent.x_best)
        dropped = support < _SUPPORT_DROP * self.support
        eps = batch.threat.radius(batch.images)
        smaller = (self.eta / _SUPPORT_FACTOR).maximum(_MIN_ETA * eps)
        eta = torch.where(dropped, eps, smaller)
        return Sparse(eta, (support / _SUPPORT_FACTOR).long(), support), ascent.back(dropped)

    def move(self, batch: Batch, ascent: Ascent, first: bool) -> tuple[Sparse, Tensor]:
        """Return the state and x_{i+1}."""
        x = ascent.x
        # Without the argument `length`, whatever room the range has left: what overshoots it costs
        # nothing, since the projection takes that back before it takes from other coordinates. Up to
        # a fifth fewer images were left standing than with `length`.
        d = cast(L1, batch.ball).steepest_direction(ascent.gradient, x, self.k)
        return self, batch.project(x + expand(self.eta, x) * d)


def _support(batch: Batch, x: Tensor) -> Tensor:
    """Return how many coordinates of each sample `x` changes."""
    return (x != batch.clean).flatten(1).sum(1)
