"""N-FGSM: one step from noise that is wider than the ball, without a projection."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.defences.objectives.ascent import check_moves, climbing, cross_entropy, step
from saddlepoint.defences.objectives.two_phases import OnAdversarials
from saddlepoint.errors import InputError
from saddlepoint.objectives.contract import TrainingBatch
from saddlepoint.objectives.passes import Mode, Statistics
from saddlepoint.option_values import BelowOne, Positive, check_fields
from saddlepoint.threat import Normed, ThreatModel


@dataclass(frozen=True)
class NFGSM(OnAdversarials):
    """N-FGSM: cross-entropy after one step from strong noise, clipped to the range alone.

        η ~ U(−kε, kε), clipped to the range;  δ = η + ε·sgn ∇ℓ(x + η), clipped to the range

    The perturbation reaches (k + 1)ε: that is the method, and what keeps it from overfitting
    catastrophically.

    Args:
        threat: the budget that is trained for.
        noise: k, the width of the noise in units of ε.
        mode: the BatchNorm statistics that the input pass sees; the published ones are the batch's.
        statistics: the passes that move the running ones: 1 of the descent, or 2 as "published" (in
            train mode).
        label_smoothing: the share of the target spread over all classes.

    Reference: de Jorge et al. 2022, arXiv:2202.01181.

    >>> from saddlepoint.threat import Linf
    >>> NFGSM(Linf(8 / 255)).noise
    2.0
    """

    threat: ThreatModel
    noise: Positive = 2.0
    mode: Mode = "train"
    statistics: Statistics = "descent"
    label_smoothing: BelowOne = 0.0

    paper = "de Jorge et al. 2022, arXiv:2202.01181"
    cost = "1 input pass, 1 full pass"

    def __post_init__(self) -> None:
        check_fields(self)
        check_moves("N-FGSM", self.mode, self.statistics)
        if not isinstance(self.threat, Normed):
            raise InputError(
                f"N-FGSM needs a norm ball, for instance Linf(8/255); it got {self.threat!r:.60}"
            )

    def perturb(self, model: nn.Module, batch: TrainingBatch) -> Float[Tensor, "n ..."]:
        """Return x + δ after the one step."""
        threat, x = self.threat, batch.images
        assert isinstance(threat, Normed)
        noisy = threat.with_eps(self.noise * threat.eps)
        reach = threat.with_eps((self.noise + 1) * threat.eps)  # which only the range cuts short
        start = noisy.random_start(x, batch.keys)
        with climbing(model, batch, threat, self.mode, self.statistics) as gradient:
            g = gradient(start, cross_entropy(batch))
        return reach.render(x, step(reach, x, start, g, None, 1 / (self.noise + 1)))
