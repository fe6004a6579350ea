"""Restarts of any attack: each from another random draw, on the samples not fooled yet."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from saddlepoint.attacks.base import Attack
from saddlepoint.attacks.batch import Batch
from saddlepoint.attacks.keep import Keeper
from saddlepoint.attacks.wrapping import contract_of
from saddlepoint.errors import InputError
from saddlepoint.threat import Ascendable

# Streams 0 and 1 are the attack's own and the judge's.
_FIRST_STREAM = 16


@dataclass(frozen=True, kw_only=True)
class Restarted(Attack):
    """An attack run several times; see `restarted`, which builds it.

    >>> from saddlepoint.attacks import BIM
    >>> from saddlepoint.threat import Linf
    >>> restarted(BIM(Linf(0.1)), 5).restarts
    5
    """

    attack: Attack = field(kw_only=True)
    restarts: int = 5
    norms = ("Linf", "L2", "L1", "L0", "Box")

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least_one("restarts")
        if self.keep == "last":
            raise InputError('keep="last" returns the last restart alone; use keep="best"')

    @property
    def minimum_norm(self) -> bool:  # type: ignore[override]
        """Whether the attack inside is one."""
        return self.attack.minimum_norm

    def perturb(self, batch: Batch, best: Keeper) -> None:
        """Run the attack as it is, then from other draws on what still stands."""
        for restart in range(self.restarts):
            active = best.unfinished(batch)
            if not len(active):
                return
            self.attack.perturb(active if restart == 0 else _fresh(active, restart), best)


def restarted(attack: Attack, restarts: int) -> Restarted:
    """Return the attack with that many restarts; the first is the attack itself.

    The others have random draws of their own, and start from a point drawn in the ball, also those
    that begin at the clean image. A minimum-norm attack has no ball to draw from: only its own
    random draws differ.

    >>> import torch
    >>> from saddlepoint.attacks import MIFGSM
    >>> from saddlepoint.threat import Linf
    >>> net, images, labels = torch.nn.Flatten(), torch.tensor([[0.6, 0.5]]), torch.tensor([0])
    >>> int(restarted(MIFGSM(Linf(0.01), steps=3), 4)(net, images, labels).backwards)
    12
    """
    return Restarted(**contract_of(attack), attack=attack, restarts=restarts)


def _fresh(batch: Batch, restart: int) -> Batch:
    keys = batch.keys.split(_FIRST_STREAM + restart)
    batch = replace(batch, keys=keys, starts=None)
    if not isinstance(batch.threat, Ascendable) or bool(
        batch.threat.radius(batch.images).isinf().any()
    ):
        return batch
    drawn = batch.project(batch.threat.random_start(batch.images, keys))
    return replace(batch, starts=batch.render(drawn))
