"""Restarts of any attack: each from elsewhere, and only on samples that it can still help."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.stages import stage
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.attacks.wrappers.wrapper import Wrapper
from saddlepoint.errors import InputError
from saddlepoint.option_values import Count


@dataclass(frozen=True, kw_only=True)
class Restarted(Wrapper):
    """An attack run several times; the first run is the attack itself.

    With a budget, the others have random draws of their own and start from a point drawn in the
    ball, also where the attack itself begins at the clean image. (PGD and APGD have `restarts` of
    their own, which come to the same.) A minimum-norm attack ends in a local optimum,
    often that of another class than the nearest: its restarts aim by turns at the other classes,
    the likeliest first, and start from random points up to twice as far as the nearest success
    (JSMA, which has no start, repeats itself there).

    Args:
        attack: any attack that keeps its best iterate.
        restarts: runs in all.

    >>> import torch
    >>> from saddlepoint.attacks import MIFGSM
    >>> from saddlepoint.threat import Linf
    >>> net, images, labels = torch.nn.Flatten(), torch.tensor([[0.6, 0.5]]), torch.tensor([0])
    >>> int(Restarted(MIFGSM(Linf(0.01), steps=3), 4)(net, images, labels).backwards)
    12
    """

    restarts: Count = field(kw_only=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.keep == "last":
            raise InputError('keep="last" returns the last restart alone; use keep="best"')

    @property
    def expected_steps(self) -> int:
        """The passes as a rule; see `Attack`."""
        return self.attack.expected_steps * self.restarts

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Run the attack as it is, then from elsewhere."""
        # Not the kind's `search`: that of the call has begun already.
        stage(batch, tracker, partial(self.attack.perturb, batch, tracker))
        self.kind.restart(self.attack, batch, tracker, self.restarts)
