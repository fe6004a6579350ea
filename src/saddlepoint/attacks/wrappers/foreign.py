"""Other people's attacks under our judge: torchattacks, foolbox, ART, adv-lib, or any function."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from saddlepoint.answers import model_failed
from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import FixedBudget, MinimumNorm
from saddlepoint.attacks.core.criteria import Targeted
from saddlepoint.attacks.core.inputs import range_of_candidates
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.attacks.wrappers.foreign_runs import Call, run_of
from saddlepoint.checks import as_pixels, settled
from saddlepoint.configuration import identified
from saddlepoint.errors import InputError
from saddlepoint.threat import ThreatModel, unlimited


@identified("Foreign")
@dataclass(frozen=True, kw_only=True)
class Foreign(FixedBudget):
    """Another library's attack with a budget, judged here; see `foreign`, which builds it.

    >>> from saddlepoint.threat import Linf
    >>> foreign(lambda model, images, labels: images, Linf(0.1)).kind.name
    'fixed budget'
    """

    run: Callable[[Call], Tensor] = field(kw_only=True)
    nearest: bool = field(default=False, init=False)

    norms = ("Linf", "L2", "L1", "L0", "Box")

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Hand over the images once, and take what comes back."""
        _hand_over(self.run, batch, tracker)


@identified("Foreign")
@dataclass(frozen=True, kw_only=True)
class NearestForeign(MinimumNorm):
    """Another library's minimum-norm attack, judged here; see `foreign`, which builds it.

    >>> from saddlepoint.threat import Linf
    >>> foreign(lambda model, images, labels: images, Linf()).kind.name
    'minimum norm'
    """

    run: Callable[[Call], Tensor] = field(kw_only=True)
    nearest: bool = field(default=True, init=False)

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Hand over the images once, and take what comes back."""
        _hand_over(self.run, batch, tracker)


def _hand_over(run: Callable[[Call], Tensor], batch: Batch, tracker: Tracker) -> None:
    if batch.mask is not None:
        raise InputError("a foreign attack does not know of a mask; leave it out")
    model = Counted(batch)
    targeted = isinstance(batch.criterion, Targeted)
    call = Call(model, batch.images.clone(), batch.goals.clone(), targeted, batch.threat)
    try:
        with torch.enable_grad():
            images = run(call)
    except Exception as error:  # it is other people's code: anything may come
        raise model_failed("failed on", batch.images, error, "the foreign attack") from error
    model.settle()
    if not isinstance(images, Tensor) or images.shape != batch.images.shape:
        seen = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise InputError(
            f"the foreign attack returned {seen} for images {tuple(batch.images.shape)};"
            " it must return the adversarial images"
        )
    images = settled(
        as_pixels(images.detach()).to(batch.images.device, batch.images.dtype),
        *range_of_candidates(batch.threat),
        what="pixels that the foreign attack returned",
    )
    # But for rounding as they are, unprojected: whether they are valid is the judge's to say.
    tracker.offer(batch, batch.threat.parametrise(images))


def foreign(attack: Any, threat: ThreatModel, **options: Any) -> Foreign | NearestForeign:
    """Return another library's attack as one of ours: guarded, counted, and judged.

    Args:
        attack: an attack object of torchattacks, foolbox or ART, or any function
            `f(model, images, labels)` (with `targeted=` or `targets=` if it takes them), such as
            those of adv-lib. The model an object was built with is replaced by the attacked one
            during the call.
        threat: what its results are judged by; without a budget it counts as a minimum-norm attack
            and the distance is reported. A foolbox attack gets the budget from here; the others
            have their own.
        options: passed on to a function at every call.

    An image that leaves the range or the budget is `rejected`, not repaired. Passes are counted in
    images seen by the model, and shared evenly among the samples of a call, since a foreign attack
    does not say which row is which. Raises `InputError` for an object of no known kind.

    >>> from saddlepoint.threat import Linf
    >>> def outside(model, images, labels):
    ...     return images - 0.2
    >>> attack = foreign(outside, Linf(0.1))
    >>> attack(nn.Flatten(), torch.tensor([[0.6, 0.5]]), torch.tensor([0])).rejected
    tensor([True])
    """
    if inspect.isclass(attack):
        raise InputError(f"{attack.__name__} is a class; give an attack that was constructed")
    kind = NearestForeign if unlimited(threat) else Foreign
    return kind(threat, run=run_of(attack, options), stop="never")


class Counted(nn.Module):
    """The attacked model as a foreign attack sees it; counts the rows of its passes.

    >>> from saddlepoint.threat import Linf
    >>> def two_looks(model, images, labels):
    ...     return images if bool(model(images).argmax(1).eq(model(images).argmax(1)).all()) else None
    >>> attack = foreign(two_looks, Linf(0.1))
    >>> int(attack(nn.Flatten(), torch.tensor([[0.6, 0.5]]), torch.tensor([0])).forwards)  # + 3
    5
    """

    def __init__(self, batch: Batch) -> None:
        super().__init__()
        # Not a submodule: `eval()`, `to()` or `zero_grad()` of a foreign library must not reach it.
        self._batch = [batch]
        self._rows = [0, 0]
        first = next(batch.guard.model.parameters(), None)
        # Some libraries look at a parameter for the device.
        self.register_buffer("place", torch.empty(0) if first is None else first.new_empty(0))

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        self._rows[0] += len(images)
        logits = self._batch[0].guard.call(images)
        if logits.requires_grad:
            logits.register_hook(self._back)  # type: ignore[no-untyped-call]
        return logits

    def _back(self, gradient: Tensor) -> None:
        self._rows[1] += len(gradient)

    def settle(self) -> None:
        """Book the passes on the samples of the batch, evenly; the first ones carry the rest."""
        batch = self._batch[0]
        batch.guard.ledger.share(batch.index, *self._rows)
