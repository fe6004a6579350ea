"""Transfer: what fools one model is offered to another, whose gradient is not asked for."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from torch import nn

from saddlepoint.answers import check_logits
from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import Attack
from saddlepoint.attacks.core.criteria import BinaryLogit
from saddlepoint.attacks.core.rounding import Reference
from saddlepoint.attacks.core.tracker import Best, Keeper, Last, Nearest
from saddlepoint.attacks.wrappers.wrapper import contract_of
from saddlepoint.checks import check_classes
from saddlepoint.errors import InputError
from saddlepoint.model import Guard, device_of


@dataclass(frozen=True, kw_only=True)
class Transfer(Attack):
    """An attack on a surrogate, judged on the attacked model; see `transfer`, which builds it.

    >>> from saddlepoint.attacks import BIM
    >>> from saddlepoint.threat import Linf
    >>> transfer(BIM(Linf(0.1)), surrogate=nn.Flatten()).attack.steps
    10
    """

    attack: Attack = field(kw_only=True)
    surrogate: nn.Module = field(kw_only=True)
    norms = ("Linf", "L2", "L1", "L0", "Box")

    @property
    def minimum_norm(self) -> bool:  # type: ignore[override]
        """Whether the attack inside is one."""
        return self.attack.minimum_norm

    def perturb(self, batch: Batch, best: Keeper) -> None:
        """Attack the surrogate to the end, and offer the outcome to the attacked model once."""
        own, place = batch.guard, device_of(self.surrogate)
        if place != own.device:
            raise InputError(
                f"the surrogate is on {place}, the attacked model on {own.device}; move one of them"
            )
        guard = Guard(
            self.surrogate,
            len(own.forwards),
            samples=self.attack.eot_samples,
            seed=batch.keys.seed,
            autocast=self.attack.autocast,
            compile=self.attack.compile,
        )
        found = self._keeper_for_surrogate(best)
        with guard:
            there = replace(batch, guard=guard)
            clean = there.logits(there.clean)
            check_logits(clean, self.surrogate, isinstance(batch.criterion, BinaryLogit))
            check_classes(batch.goals, max(clean.shape[1], 2), "the surrogate: labels or targets")
            guard.ledger.expect(clean, batch.index)
            self.attack.perturb(replace(there, reference=Reference.of(clean)), found)
        best.last(batch, batch.threat.parametrise(found.images[batch.index]))

    def _keeper_for_surrogate(self, best: Keeper) -> Keeper:
        if self.minimum_norm:
            return Nearest(best.images)
        # The first success would fool the surrogate by a hair, and the other model not at all.
        return Last(best.images) if self.attack.keep == "last" else Best(best.images, "never")


def transfer(attack: Attack, *, surrogate: nn.Module) -> Transfer:
    """Return the attack that runs `attack` on `surrogate` and offers what it finds to the model.

    Args:
        attack: what is run on the surrogate, to its end: the iterate of smallest margin there is
            offered, for a minimum-norm attack the nearest that fools.
        surrogate: from images to logits of the same classes, on the same device. It comes out as it
            went in.

    The attacked model needs no gradient: it sees each image once, and passes of the surrogate are
    not counted.

    Reference: Papernot, McDaniel and Goodfellow 2016, arXiv:1605.07277.

    >>> import torch
    >>> from saddlepoint.attacks import BIM
    >>> from saddlepoint.threat import Linf
    >>> class Signs(nn.Module):
    ...     def forward(self, x):
    ...         return x.detach().sub(0.5).sign()
    >>> attack = transfer(BIM(Linf(0.2)), surrogate=nn.Flatten())
    >>> attack(Signs(), torch.tensor([[0.6, 0.45]]), torch.tensor([0])).success
    tensor([True])
    """
    return Transfer(**contract_of(attack), attack=attack, surrogate=surrogate)
