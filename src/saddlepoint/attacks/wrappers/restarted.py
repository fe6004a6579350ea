"""Restarts of any attack: each from elsewhere, and only on samples that it can still help."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial

import torch
from jaxtyping import Int64
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import Attack
from saddlepoint.attacks.core.criteria import Targeted
from saddlepoint.attacks.core.stages import stage
from saddlepoint.attacks.core.steps import start_of
from saddlepoint.attacks.core.tracker import Keeper
from saddlepoint.attacks.geometry.boundaries import rivals
from saddlepoint.attacks.wrappers.wrapper import contract_of, nearest_by
from saddlepoint.errors import InputError
from saddlepoint.threat import Ascendable, NormBall, Rescaled

# Streams 0 and 1 are the attack's own and the judge's.
_FIRST_STREAM = 16
_ALL = 1 << 30
# A second start within the distance already found seldom leaves the optimum that was found there.
_WIDER = 2.0


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
        """Run the attack as it is, then from elsewhere."""
        stage(batch, best, partial(self.attack.perturb, batch, best))
        if self.restarts == 1:
            return
        if self.minimum_norm:
            self._nearer(batch, best)
            return
        for restart in range(1, self.restarts):
            active = best.unfinished(batch)
            if not len(active):
                return
            there = _elsewhere(active, restart, restart % 2 == 1)
            stage(there, best, partial(self.attack.perturb, there, best))

    def _nearer(self, batch: Batch, best: Keeper) -> None:
        """Search afresh, by turns towards another class and from a random point."""
        classes = self._classes(batch, best)
        for restart in range(1, self.restarts):
            turn, odd = divmod(restart - 1, 2)
            if odd == 0 and classes is not None and turn < classes.shape[1]:
                aimed = replace(batch, criterion=Targeted(), goals=classes[:, turn], starts=None)
            else:
                aimed = _farther(batch, best, restart, corner=turn % 2 == 1)
            found = nearest_by(self.attack, aimed, best).images[batch.index]
            best.last(batch, batch.threat.parametrise(found))

    def _classes(self, batch: Batch, best: Keeper) -> Int64[Tensor, "m k"] | None:
        """Return the classes that were not found, the likely ones first."""
        likely = batch.logits(batch.clean)
        found = batch.logits(batch.threat.parametrise(best.images[batch.index])).argmax(1)
        least = likely.amin(1, keepdim=True) - 1
        ranked = rivals(batch, likely.scatter(1, found[:, None], least), _ALL)
        return None if ranked is None else ranked[:, :-1]


def restarted(attack: Attack, restarts: int) -> Restarted:
    """Return the attack with that many restarts; the first is the attack itself.

    With a budget, the others have random draws of their own, and start from a point drawn in the
    ball, also those that begin at the clean image. A minimum-norm attack ends in a local optimum,
    often that of another class than the nearest: its restarts aim by turns at the other classes,
    the likeliest first, and start from random points up to twice as far as the nearest success
    (JSMA, which has no start, repeats itself there).

    >>> import torch
    >>> from saddlepoint.attacks import MIFGSM
    >>> from saddlepoint.threat import Linf
    >>> net, images, labels = torch.nn.Flatten(), torch.tensor([[0.6, 0.5]]), torch.tensor([0])
    >>> int(restarted(MIFGSM(Linf(0.01), steps=3), 4)(net, images, labels).backwards)
    12
    """
    return Restarted(**contract_of(attack), attack=attack, restarts=restarts)


def _elsewhere(batch: Batch, restart: int, corner: bool) -> Batch:
    """Return the batch with draws of its own, and a start drawn from the ball."""
    batch = replace(batch, keys=batch.keys.split(_FIRST_STREAM + restart), starts=None)
    if not isinstance(batch.threat, Ascendable):
        return batch
    drawn = start_of(batch, "uniform", 0, corner)
    return replace(batch, starts=batch.render(drawn))


def _farther(batch: Batch, best: Keeper, restart: int, corner: bool) -> Batch:
    """Return the batch with draws of its own, and a start around the nearest success's distance."""
    low, high = batch.bounds
    farthest = batch.ball.length(torch.maximum(high - batch.clean, batch.clean - low))
    radius = (_WIDER * best.length[batch.index]).to(farthest.dtype).minimum(farthest)
    assert isinstance(batch.threat, NormBall | Rescaled), "a minimum-norm attack has a norm"
    near = replace(batch, threat=batch.threat.with_eps(radius.nan_to_num(posinf=1.0)))
    return replace(_elsewhere(near, restart, corner), threat=batch.threat)
