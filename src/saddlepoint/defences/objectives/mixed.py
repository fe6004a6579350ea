"""Training on clean and adversarial images at once."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.attacks import Attack
from saddlepoint.defences.objectives.adversarial import attacked, check_attack
from saddlepoint.defences.objectives.two_phases import TwoPhases
from saddlepoint.objectives.contract import TrainingBatch
from saddlepoint.objectives.passes import Mode, forward, label_loss
from saddlepoint.option_values import BelowOne, Fraction, check_fields


@dataclass(frozen=True)
class Mixed(TwoPhases):
    """α·J(x, y) + (1 − α)·J(x', y): the cross-entropy of clean and of adversarial images.

    BatchNorm's running statistics move by both passes of the descent step.

    Args:
        attack: makes x'; the paper's is FGSM.
        clean: α, the weight of the clean images.
        mode: the BatchNorm statistics that the attack sees.
        label_smoothing: the share of the target spread over all classes.

    Reference: Goodfellow, Shlens and Szegedy 2015, arXiv:1412.6572, section 6.

    >>> from saddlepoint.attacks import FGSM
    >>> from saddlepoint.threat import Linf
    >>> Mixed(FGSM(Linf(0.25))).clean
    0.5
    """

    attack: Attack
    clean: Fraction = 0.5
    mode: Mode = "eval"
    label_smoothing: BelowOne = 0.0

    paper = "Goodfellow et al. 2015, arXiv:1412.6572"
    cost = "its attack's, and 2 full passes"

    def __post_init__(self) -> None:
        check_fields(self)
        check_attack(self.attack, "mixed training")

    def perturb(self, model: nn.Module, batch: TrainingBatch) -> Float[Tensor, "n ..."]:
        """Return the last iterates of the attack."""
        return attacked(self.attack, model, batch, self.mode)

    def loss(
        self, model: nn.Module, batch: TrainingBatch, adversarials: Float[Tensor, "n ..."]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "n k"]]:
        """Return α·J(x, y) + (1 − α)·J(x', y) and the logits of x'."""
        clean = label_loss(batch, forward(model, batch, batch.images), self.label_smoothing)
        logits = forward(model, batch, adversarials)
        moved = label_loss(batch, logits, self.label_smoothing)
        return self.clean * clean + (1 - self.clean) * moved, logits
