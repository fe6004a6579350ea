"""Transfer: what fools one model is offered to another, whose gradient is not asked for."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace

from torch import nn

from saddlepoint.answers import check_answered, check_logits, unanswered
from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.criteria import BinaryLogit
from saddlepoint.attacks.core.rounding import Reference
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.attacks.wrappers.wrapper import Wrapper
from saddlepoint.checks import check_classes
from saddlepoint.errors import InputError
from saddlepoint.model import Guard, device_of


@dataclass(frozen=True, kw_only=True)
class Transfer(Wrapper):
    """An attack that runs on a surrogate and offers what it finds to the attacked model.

    The attacked model needs no gradient: it sees each image once, and passes of the surrogate are
    not counted.

    Args:
        attack: what is run on the surrogate, to its end: the iterate of smallest margin there is
            offered, for a minimum-norm attack the nearest that fools.
        surrogate: from images to logits of the same classes, on the same device. It comes out as it
            went in.

    >>> import torch
    >>> from saddlepoint.attacks import BIM
    >>> from saddlepoint.threat import Linf
    >>> class Signs(nn.Module):
    ...     def forward(self, x):
    ...         return x.detach().sub(0.5).sign()
    >>> attack = Transfer(BIM(Linf(0.2)), nn.Flatten())
    >>> attack(Signs(), torch.tensor([[0.6, 0.45]]), torch.tensor([0])).success
    tensor([True])
    """

    surrogate: nn.Module = field(kw_only=False)

    paper = "Papernot, McDaniel and Goodfellow 2016, arXiv:1605.07277"

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Attack the surrogate to the end, and offer the outcome to the attacked model once."""
        own, place = batch.guard, device_of(self.surrogate)
        if place != own.device:
            raise InputError(
                f"the surrogate is on {place}, the attacked model on {own.device}; move one of them"
            )
        guard = Guard(
            self.surrogate,
            len(tracker.images),
            samples=self.attack.eot_samples,
            seed=batch.keys.seed,
            autocast=self.attack.autocast,
            compile=self.attack.compile,
        )
        # The first success would fool the surrogate by a hair, and the other model not at all.
        found = self.kind.tracker(self.attack, tracker.images, to_the_end=True)
        with guard:
            there = replace(batch, guard=guard)
            clean = there.logits(there.clean)
            answered = ~unanswered(clean)
            check_answered(answered, self.surrogate, whole=False)
            check_logits(clean, isinstance(batch.criterion, BinaryLogit))
            check_classes(batch.goals, max(clean.shape[1], 2), "the surrogate: labels or targets")
            guard.ledger.expect(clean, batch.index)
            there = replace(there, reference=Reference.of(clean))
            if silent := int((~answered).sum()):
                warnings.warn(
                    f"the surrogate returns NaN or infinite logits for {silent} of {len(batch)}"
                    " images: nothing is transferred to them",
                    stacklevel=2,
                )
                there = there.at(answered)
            if len(there):
                self.attack.perturb(there, found)
        tracker.offer(batch, batch.threat.parametrise(found.images[batch.index]))
