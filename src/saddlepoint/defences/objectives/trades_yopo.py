"""TRADES-YOPO: TRADES whose inner maximisation goes through the first layer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.data import ImageData
from saddlepoint.defences.objectives.ascent import Ascent, ascendable
from saddlepoint.defences.objectives.divergence import (
    clean_probabilities,
    divergence_from,
    gaussian_start,
    trades_loss,
)
from saddlepoint.defences.objectives.first_layer import FirstLayer, climb
from saddlepoint.defences.objectives.two_phases import TwoPhases
from saddlepoint.objectives.contract import Standing, TrainingBatch
from saddlepoint.objectives.passes import Statistics, evaluating, forward
from saddlepoint.option_values import Count, NonNegative, Positive, check_fields
from saddlepoint.threat import ThreatModel


@dataclass(frozen=True)
class TRADESYOPO(TwoPhases):
    """TRADES-YOPO: x' by m sweeps of n steps up the divergence through f_0, then a step of TRADES.

    YOPO is the attack alone here: no gradient of its sweeps reaches a weight. They run in evaluation
    mode from x + N(0, 0.001²), with p the gradient of ΣKL(F(x) ‖ F(x')) in f_0's output.

    Args:
        threat: the budget that is trained for.
        m, n: full passes, and steps through the first layer for each; published 2×5 and 3×4.
        beta: β, what agreement weighs against accuracy.
        step_size: α; None is ε/4.
        first_layer: as in `YOPO`.
        statistics: as in `TRADES`.

    Reference: Zhang et al. 2019, arXiv:1905.00877, section 4.2.

    >>> from saddlepoint.threat import Linf
    >>> TRADESYOPO(Linf(0.031), step_size=0.007).beta
    1.0
    """

    threat: ThreatModel
    m: Count = 3
    n: Count = 4
    beta: NonNegative = 1.0
    step_size: Positive | None = None
    first_layer: str | None = None
    statistics: Statistics = "descent"

    paper = "Zhang et al. 2019, arXiv:1905.00877"
    cost = "1 forward pass, m input passes, m·n of the first layer, 2 full passes"

    def __post_init__(self) -> None:
        check_fields(self)
        ascendable(self.threat, "TRADES-YOPO")

    def begin(self, model: nn.Module, data: ImageData) -> DivergingSweeps:
        """Return the run, which knows where the first layer of this model ends."""
        images = data.images(torch.arange(min(2, len(data))))
        return DivergingSweeps(self, FirstLayer(model, self.first_layer, images, "eval"))

    def perturb(self, model: nn.Module, batch: TrainingBatch) -> Float[Tensor, "n ..."]:
        """Return x' after the m sweeps."""
        first = FirstLayer(model, self.first_layer, batch.images[:2], "eval")
        return DivergingSweeps(self, first).perturb(model, batch)

    def loss(
        self, model: nn.Module, batch: TrainingBatch, adversarials: Float[Tensor, "n ..."]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "n k"]]:
        """Return J(Z(x), y) + β·KL(F(x) ‖ F(x')) and the logits of x'."""
        return trades_loss(model, batch, adversarials, self.beta, self.statistics)


class DivergingSweeps(TwoPhases, Standing):
    """A run of TRADES-YOPO: the first layer, which the objective does not know.

    >>> from saddlepoint.threat import Linf
    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> x = torch.rand(4, 2)
    >>> run = DivergingSweeps(TRADESYOPO(Linf(0.1)), FirstLayer(net, None, x, "eval"))
    >>> batch = TrainingBatch(x, torch.zeros(4).long(), torch.arange(4), seed=0)
    >>> bool(((run.perturb(net, batch) - x).abs() <= 0.1).all())
    True
    """

    def __init__(self, objective: TRADESYOPO, first: FirstLayer) -> None:
        self.objective, self.first = objective, first

    def perturb(self, model: nn.Module, batch: TrainingBatch) -> Float[Tensor, "n ..."]:
        """Return x' after the m sweeps."""
        yopo = self.objective
        threat = ascendable(yopo.threat, "TRADES-YOPO")
        ascent = Ascent(threat, batch.images, yopo.step_size, 0.25)
        w = gaussian_start(threat, batch)
        divergence = divergence_from(clean_probabilities(model, batch))
        with evaluating(model):
            for _ in range(yopo.m):
                w = w.requires_grad_()
                with self.first.cut(model) as ends:
                    logits = forward(model, batch, threat.render(batch.images, w))
                z, leaf = ends
                (p,) = torch.autograd.grad(divergence(logits).sum(), leaf)
                w = climb(self.first, model, batch, ascent, w, p, yopo.n, z)
        return threat.render(batch.images, w)

    def loss(
        self, model: nn.Module, batch: TrainingBatch, adversarials: Float[Tensor, "n ..."]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "n k"]]:
        """Return the loss of the objective."""
        return self.objective.loss(model, batch, adversarials)
