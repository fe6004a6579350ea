"""MART: images that the network gets wrong anyway weigh more in the agreement."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.defences.objectives.ascent import Ascent, ascendable, climbing, log_odds
from saddlepoint.defences.objectives.divergence import divergence_from, gaussian_start
from saddlepoint.defences.objectives.two_phases import TwoPhases
from saddlepoint.objectives.contract import TrainingBatch
from saddlepoint.objectives.passes import forward
from saddlepoint.option_values import Count, NonNegative, Positive, check_fields
from saddlepoint.threat import ThreatModel


@dataclass(frozen=True)
class MART(TwoPhases):
    """MART: BCE(F(x'), y) + λ·mean KL(F(x) ‖ F(x'))·(1 − F_y(x)), x' by PGD on the cross-entropy.

    BCE is the boosted cross-entropy −log F_y(x') − log(1.0001 − max_{k≠y} F_k(x') + 1e-12). x'
    starts at x + N(0, 0.001²) and is found in evaluation mode; F(x) and the weight are not detached.
    BatchNorm's running statistics move by both passes of the descent step, as published.

    Args:
        threat: the budget that is trained for.
        lam: λ; published 5 for a ResNet-18 and 6 for a WideResNet.
        steps, step_size: K and α of the inner maximisation; α None is 2.5·ε/K.

    Its loss has no form for mixed labels.

    Reference: Wang et al. 2020, "Improving adversarial robustness requires revisiting misclassified
    examples", ICLR.

    >>> from saddlepoint.threat import Linf
    >>> MART(Linf(0.031), step_size=0.007).lam
    5.0
    """

    threat: ThreatModel
    lam: NonNegative = 5.0
    steps: Count = 10
    step_size: Positive | None = None

    one_class = True
    paper = "Wang et al. 2020, ICLR"
    cost = "K input passes, 2 full passes"

    def __post_init__(self) -> None:
        check_fields(self)
        ascendable(self.threat, "MART")

    def perturb(self, model: nn.Module, batch: TrainingBatch) -> Float[Tensor, "n ..."]:
        """Return x' after K steps on the cross-entropy from a small Gaussian start."""
        threat, x = ascendable(self.threat, "MART"), batch.images
        ascent = Ascent(threat, x, self.step_size, 2.5 / self.steps)
        w = gaussian_start(threat, batch)
        with climbing(model, batch, threat, "eval") as gradient:
            for _ in range(self.steps):
                g = gradient(w, log_odds(batch))
                w = ascent(w, g)
        return threat.render(x, w)

    def loss(
        self, model: nn.Module, batch: TrainingBatch, adversarials: Float[Tensor, "n ..."]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "n k"]]:
        """Return the boosted cross-entropy with the weighted divergence, and the logits of x'."""
        clean = forward(model, batch, batch.images).log_softmax(1)
        logits = forward(model, batch, adversarials)
        own = batch.labels[:, None]
        moved = logits.log_softmax(1)
        rival = moved.exp().scatter(1, own, -torch.inf).amax(1)
        boosted = -moved.gather(1, own)[:, 0] - torch.log(1.0001 - rival + 1e-12)
        wrong = 1.0000001 - clean.exp().gather(1, own)[:, 0]
        weighted = divergence_from(clean)(logits) * wrong
        return boosted.mean() + self.lam * weighted.mean(), logits
