"""TRADES: accuracy on clean images, and agreement with them in the ball around each."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.defences.objectives.ascent import Ascent, ascendable, climbing
from saddlepoint.defences.objectives.divergence import (
    clean_probabilities,
    divergence_from,
    gaussian_start,
    trades_loss,
)
from saddlepoint.defences.objectives.two_phases import TwoPhases
from saddlepoint.objectives.contract import TrainingBatch
from saddlepoint.objectives.passes import Statistics
from saddlepoint.option_values import Count, NonNegative, Positive, check_fields
from saddlepoint.threat import ThreatModel


@dataclass(frozen=True)
class TRADES(TwoPhases):
    """TRADES: J(Z(x), y) + β·KL(F(x) ‖ F(x')), x' the image in the ball that maximises the KL.

    x' starts at x + N(0, 0.001²), is found in evaluation mode, and the gradient of the divergence
    goes through both of its sides.

    Args:
        threat: the budget that is trained for.
        beta: β, what agreement weighs against accuracy.
        steps, step_size: K and α of the inner maximisation; α None is 2.5·ε/K.
        statistics: the passes that move BatchNorm's running statistics: the 2 of the descent, or
            3, clean, adversarial and clean again, as "published".

    Reference: Zhang et al. 2019, arXiv:1901.08573.

    >>> from saddlepoint.threat import Linf
    >>> TRADES(Linf(0.031), step_size=0.007).beta
    6.0
    """

    threat: ThreatModel
    beta: NonNegative = 6.0
    steps: Count = 10
    step_size: Positive | None = None
    statistics: Statistics = "descent"

    paper = "Zhang et al. 2019, arXiv:1901.08573"
    cost = "1 forward pass, K input passes, 2 full passes"

    def __post_init__(self) -> None:
        check_fields(self)
        ascendable(self.threat, "TRADES")

    def perturb(self, model: nn.Module, batch: TrainingBatch) -> Float[Tensor, "n ..."]:
        """Return x' = argmax KL(F(x) ‖ F(x')), K steps from a small Gaussian start."""
        threat, x = ascendable(self.threat, "TRADES"), batch.images
        ascent = Ascent(threat, x, self.step_size, 2.5 / self.steps)
        w = gaussian_start(threat, batch)
        divergence = divergence_from(clean_probabilities(model, batch))
        with climbing(model, batch, threat, "eval") as gradient:
            for _ in range(self.steps):
                g = gradient(w, divergence)
                w = ascent(w, g)
        return threat.render(x, w)

    def loss(
        self, model: nn.Module, batch: TrainingBatch, adversarials: Float[Tensor, "n ..."]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "n k"]]:
        """Return J(Z(x), y) + β·KL(F(x) ‖ F(x')) and the logits of x'."""
        return trades_loss(model, batch, adversarials, self.beta, self.statistics)
