"""Fast adversarial training: one step from a random start."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.defences.objectives.ascent import (
    ascendable,
    check_moves,
    climbing,
    cross_entropy,
    step,
)
from saddlepoint.defences.objectives.two_phases import OnAdversarials
from saddlepoint.objectives.contract import TrainingBatch
from saddlepoint.objectives.passes import Mode, Statistics
from saddlepoint.option_values import BelowOne, Positive, check_fields
from saddlepoint.threat import ThreatModel


@dataclass(frozen=True)
class FGSMRS(OnAdversarials):
    """FGSM-RS, "fast" adversarial training: cross-entropy after one step from a random start.

        η ~ U(−ε, ε), clipped to the range;  δ = Π(η + α·sgn ∇ℓ(x + η))

    It may overfit catastrophically: within an epoch the network learns to fool this attack and no
    longer resists PGD. `Recipe.watch` sees it.

    Args:
        threat: the budget that is trained for.
        relative_step: α in units of ε.
        mode: the BatchNorm statistics that the input pass sees; the published ones are the batch's.
        statistics: the passes that move the running ones: 1 of the descent, or 2 as "published" (in
            train mode).
        label_smoothing: the share of the target spread over all classes.

    Reference: Wong, Rice and Kolter 2020, arXiv:2001.03994.

    >>> from saddlepoint.threat import Linf
    >>> FGSMRS(Linf(8 / 255)).relative_step
    1.25
    """

    threat: ThreatModel
    relative_step: Positive = 1.25
    mode: Mode = "train"
    statistics: Statistics = "descent"
    label_smoothing: BelowOne = 0.0

    paper = "Wong et al. 2020, arXiv:2001.03994"
    cost = "1 input pass, 1 full pass"

    def __post_init__(self) -> None:
        check_fields(self)
        check_moves("FGSM-RS", self.mode, self.statistics)
        ascendable(self.threat, "FGSM-RS")

    def perturb(self, model: nn.Module, batch: TrainingBatch) -> Float[Tensor, "n ..."]:
        """Return x + δ after the one step."""
        threat, x = ascendable(self.threat, "FGSM-RS"), batch.images
        start = threat.random_start(x, batch.keys)
        with climbing(model, batch, threat, self.mode, self.statistics) as gradient:
            g = gradient(start, cross_entropy(batch))
        return threat.render(x, step(threat, x, start, g, None, self.relative_step))
