"""Any fixed-budget attack as a minimum-norm one, through a search on the budget."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import Attack
from saddlepoint.attacks.core.final_search import final_search
from saddlepoint.attacks.core.kinds import FIXED_BUDGET, MINIMUM_NORM, Kind
from saddlepoint.attacks.core.restarts import elsewhere
from saddlepoint.attacks.core.stages import stage
from saddlepoint.attacks.core.tracker import Best, Tracker
from saddlepoint.attacks.wrappers.wrapper import INHERIT, Wrapper
from saddlepoint.errors import InputError
from saddlepoint.option_values import Count, Natural, Positive
from saddlepoint.threat import Normed, counted

_PER_STREAM = 256


@dataclass(frozen=True, kw_only=True)
class SmallestBudget(Wrapper):
    """The minimum-norm attack that searches for the smallest budget at which another one fools.

    Success need not be monotone in the budget, so a geometric grid is climbed first, and the first
    bracket is then halved; a sample leaves the grid at its first success.

    Args:
        attack: a fixed-budget attack; its own budget only sets the range of the search.
        smallest, largest: the ends of the grid, in the units of the budget; by default the attack's
            budget divided and multiplied by 16.
        grid: budgets on the grid.
        searches: halvings of the bracket, an attack each.
        bisections: final steps towards the clean image, a forward pass each.

    >>> from saddlepoint.attacks import PGD
    >>> from saddlepoint.threat import Linf
    >>> net, images = torch.nn.Flatten(), torch.tensor([[0.7, 0.5], [0.6, 0.5]])
    >>> attack = SmallestBudget(PGD(Linf(0.05), steps=5))
    >>> [round(float(d), 2) for d in attack(net, images, torch.tensor([0, 0])).distance]
    [0.1, 0.05]
    """

    smallest: Positive = INHERIT
    largest: Positive = INHERIT
    grid: Count = 8
    searches: Natural = 6
    bisections: Natural = 10

    norms = ("Linf", "L2", "L1", "L0", "Patches")

    def __post_init__(self) -> None:
        threat = budget_of(self.attack)
        if threat is not None:
            eps = float(torch.as_tensor(threat.eps).max())
            least = 1.0 if counted(threat) else eps / 16
            self._inherit(
                threat=threat.with_eps(math.inf),
                keep="best",
                smallest=least,
                largest=max(eps * 16, least * 2),
            )
        super().__post_init__()
        if not 0 < self.smallest < self.largest < math.inf:
            raise InputError(
                f"the budgets go from {self.smallest} to {self.largest}; give 0 < smallest < largest"
            )

    @property
    def kind(self) -> Kind:
        """A distance."""
        return MINIMUM_NORM

    @property
    def expected_steps(self) -> int:
        """The passes as a rule; see `Attack`."""
        return self.attack.expected_steps * (self.grid + self.searches) // 2

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Raise the budget until the first success, then halve the bracket around it."""
        low = torch.zeros(len(batch), device=batch.images.device, dtype=batch.clean.dtype)
        high = torch.full_like(low, math.inf)
        for step in range(self.grid):
            share = step / max(self.grid - 1, 1)
            eps = torch.full_like(low, self.smallest * (self.largest / self.smallest) ** share)
            todo = high.isinf().nonzero().squeeze(1)
            low, high = self._try(batch, tracker, todo, eps, low, high)
        for _ in range(self.searches):
            todo = (high.isfinite() & (high - low > self._finest())).nonzero().squeeze(1)
            low, high = self._try(batch, tracker, todo, (low + high) / 2, low, high)
        final_search(batch, tracker, self.bisections)

    def _try(
        self, batch: Batch, tracker: Tracker, todo: Tensor, eps: Tensor, low: Tensor, high: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Attack the samples `todo` at their `eps`, and return the brackets that follow."""
        if not len(todo):
            return low, high
        eps = eps.floor().clamp_min(1) if batch.ball.p == 0 else eps
        length = nearest_within(self.attack, batch.at(todo), tracker, eps[todo])
        fooled = length < high[todo]
        low = low.index_copy(0, todo, torch.where(fooled, low[todo], eps[todo]))
        return low, high.index_copy(0, todo, torch.where(fooled, length, high[todo]))

    def _finest(self) -> float:
        return 1.0 if counted(self.threat) else 0.0


def budget_of(attack: Attack) -> Normed | None:
    """Return the threat model of an attack to search with, None where it is no attack at all; raises
    `InputError` where it has no budget.
    """
    if not isinstance(attack, Attack):
        return None
    if attack.kind is not FIXED_BUDGET or not isinstance(attack.threat, Normed):
        name = type(attack).__name__
        raise InputError(f"{name} has no budget to search for; use it as it is")
    return attack.threat


def nearest_within(
    attack: Attack, batch: Batch, tracker: Tracker, eps: Float[Tensor, " m"], restart: int = 0
) -> Float[Tensor, " m"]:
    """Run a fixed-budget attack once, within each sample's `eps`; return the distances of the nearest
    that the tracker then knows.

    Where `restart` is not 0 the attack begins at a point drawn for it, every second time in a corner of
    the ball.
    """
    threat = batch.normed
    tried = replace(batch, threat=threat.with_eps(eps))
    if restart:
        # Counted from the stream that this runs in: each restart of the whole draws anew.
        number = restart + _PER_STREAM * int(batch.keys.stream)
        tried = elsewhere(tried, number, corner=restart % 2 == 0)
    inner = Best(tracker.images, "never" if batch.guard.random else "success")
    stage(tried, inner, partial(attack.perturb, tried, inner))
    # A point may be nearer than the budget it was found at.
    tracker.offer(batch, threat.parametrise(inner.images[batch.index]))
    return tracker.distance[batch.index]
