"""PGD adversarial training, by any attack."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.attacks import FIXED_BUDGET, Attack
from saddlepoint.defences.objectives.two_phases import OnAdversarials
from saddlepoint.errors import InputError
from saddlepoint.objectives.contract import TrainingBatch
from saddlepoint.objectives.passes import Mode
from saddlepoint.option_values import BelowOne, check_fields


@dataclass(frozen=True)
class AdversarialTraining(OnAdversarials):
    """Cross-entropy on adversarial images alone, made by the current model: min E max loss.

    Args:
        attack: the inner maximisation; its last iterate is trained on.
        mode: the BatchNorm statistics that the attack sees: "eval", the running ones, or "train",
            those of the batch. The running statistics are moved by the descent step alone.
        label_smoothing: the share of the target spread over all classes.

    Reference: Madry, Makelov, Schmidt, Tsipras and Vladu 2018, arXiv:1706.06083.

    >>> from saddlepoint.attacks import PGD
    >>> from saddlepoint.threat import Linf
    >>> AdversarialTraining(PGD(Linf(8 / 255), steps=10, step_size=2 / 255)).mode
    'eval'
    """

    attack: Attack
    mode: Mode = "eval"
    label_smoothing: BelowOne = 0.0

    paper = "Madry et al. 2018, arXiv:1706.06083"
    cost = "its attack's, and 1 full pass: PGD-K K input passes"

    def __post_init__(self) -> None:
        check_fields(self)
        check_attack(self.attack, "adversarial training")

    def perturb(self, model: nn.Module, batch: TrainingBatch) -> Float[Tensor, "n ..."]:
        """Return the last iterates of the attack."""
        return attacked(self.attack, model, batch, self.mode)


def attacked(
    attack: Attack, model: nn.Module, batch: TrainingBatch, mode: Mode
) -> Float[Tensor, "n ..."]:
    """Return the last iterates of an attack on the images of a batch, unjudged.

    >>> import torch
    >>> from saddlepoint.attacks import FGSM
    >>> from saddlepoint.threat import Linf
    >>> batch = TrainingBatch(torch.ones(1, 2), torch.zeros(1).long(), torch.zeros(1).long(), seed=0)
    >>> attacked(FGSM(Linf(0.5)), nn.Linear(2, 2), batch, "eval").min() >= 0.5
    tensor(True)
    """
    with batch.autocast():
        return attack.candidates(
            model, batch.images, batch.labels, seed=batch.seed, ids=batch.ids, mode=mode
        )


def check_attack(attack: object, owner: str) -> None:
    """Raise `InputError` unless `attack` is one within a budget.

    >>> check_attack("pgd", "mixed training")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: mixed training needs a fixed-budget attack, for instance PGD
    """
    if not isinstance(attack, Attack) or attack.kind is not FIXED_BUDGET:
        raise InputError(f"{owner} needs a fixed-budget attack, for instance PGD")
