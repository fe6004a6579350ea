"""Any fixed-budget attack as a minimum-norm one that comes from the far side."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.final_search import final_search
from saddlepoint.attacks.core.kinds import MINIMUM_NORM, Kind
from saddlepoint.attacks.core.outside import from_outside
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.attacks.wrappers.smallest_budget import budget_of, nearest_within
from saddlepoint.attacks.wrappers.wrapper import Wrapper
from saddlepoint.errors import InputError
from saddlepoint.option_values import Count, Natural
from saddlepoint.threat import Normed
from saddlepoint.threat.norms import expand

_HALVINGS = 8  # on the way from a random image that fools
_DRAWS_PER_START = 4
# A bracket this narrow is opened again, since the failure may have been the attack's.
_NARROW, _OPENED = 0.02, 0.04


@dataclass(frozen=True, kw_only=True)
class ShrinkingBudget(Wrapper):
    """The minimum-norm attack that runs another one within ever smaller budgets, from what is nearest
    so far.

    It begins with random images that fool. A budget is half of the nearest distance until the attack
    fails once; then the middle between the last failure and the nearest distance, until little is
    left between them and the failure is forgotten. By turns the attack starts from the nearest image,
    which it projects into the budget, and from a random point of the ball, in Linf every second of
    these in a corner. On the way in it meets
    boundaries that cannot be seen from the clean image, where the gradient is masked; `SmallestBudget`
    comes from the other side, and asks at which budget the attack succeeds by itself.

    Args:
        attack: a fixed-budget attack. Where no random image fools, its own budget is doubled until it
            does.
        searches: runs of the attack.
        starts: random images that fool to begin with, of which the nearest counts; four are drawn for
            each at most, and those that fool are pulled in by eight halvings, a forward pass each.
        bisections: final steps towards the clean image, a forward pass each.

    >>> from saddlepoint.attacks import APGD
    >>> from saddlepoint.threat import Linf
    >>> net, images = torch.nn.Flatten(), torch.tensor([[0.7, 0.5], [0.6, 0.5]])
    >>> attack = ShrinkingBudget(APGD(Linf(0.1), steps=5, loss="margin"), searches=8)
    >>> [round(float(d), 2) for d in attack(net, images, torch.tensor([0, 0])).distance]
    [0.1, 0.05]
    """

    searches: Count = 12
    starts: Natural = 5
    bisections: Natural = 10

    norms = ("Linf", "L2", "L1", "L0")

    def __post_init__(self) -> None:
        threat = budget_of(self.attack)
        if threat is not None:
            self._inherit(threat=threat.with_eps(math.inf), keep="best")
            eps = torch.as_tensor(threat.eps)
            if eps.numel() != 1 or not 0 < float(eps) < math.inf:
                raise InputError(
                    f"the attack's budget is {threat.eps}; give one number above 0, which is doubled where"
                    " no random image fools"
                )
        super().__post_init__()

    @property
    def kind(self) -> Kind:
        """A distance."""
        return MINIMUM_NORM

    @property
    def expected_steps(self) -> int:
        """The passes as a rule; see `Attack`."""
        return self.attack.expected_steps * self.searches

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Begin outside, and shrink the budget as far as the attack follows."""
        from_outside(batch, tracker, self.starts, _DRAWS_PER_START * self.starts, _HALVINGS)
        high = tracker.distance[batch.index].to(batch.clean.dtype)
        low = torch.zeros_like(high)
        for search in range(self.searches):
            low = self._search(batch, tracker, search, low, high)
            high = tracker.distance[batch.index].to(high.dtype)
        final_search(batch, tracker, self.bisections)

    def _search(
        self,
        batch: Batch,
        tracker: Tracker,
        search: int,
        low: Float[Tensor, " m"],
        high: Float[Tensor, " m"],
    ) -> Float[Tensor, " m"]:
        """Attack every sample within a budget between `low` and `high`; return the next `low`, the
        budget that failed, or one a little below what was found where little is left between.
        """
        whole = batch.ball.p == 0
        eps = torch.where(
            high.isinf(), torch.where(low > 0, 2 * low, self._own()), (low + high) / 2
        )
        eps = eps.floor().clamp_min(1) if whole else eps
        rows = (high - low > (1.0 if whole else 0.0)).nonzero().squeeze(1)
        if not len(rows):
            return low
        some = batch.at(rows)
        kept = batch.threat.parametrise(tracker.images[some.index]).to(batch.clean.dtype)
        found = expand(high[rows].isfinite(), kept)
        some = replace(some, starts=some.render(torch.where(found, kept, some.clean)))
        restart = (search + 1) // 2 if search % 2 else 0
        length = nearest_within(self.attack, some, tracker, eps[rows], restart).to(high.dtype)
        low = low.index_copy(0, rows, torch.where(length < high[rows], low[rows], eps[rows]))
        high = high.index_copy(0, rows, length)
        narrow = high.isfinite() & (high - low < _NARROW * high)
        return low if whole else torch.where(narrow, (1 - _OPENED) * high, low)

    def _own(self) -> float:
        threat = self.attack.threat
        assert isinstance(threat, Normed)  # as checked when it was built
        return float(torch.as_tensor(threat.eps))
