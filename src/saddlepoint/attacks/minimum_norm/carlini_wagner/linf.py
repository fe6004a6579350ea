"""Carlini and Wagner's Linf attack: min c·f(x + δ) + Σ(|δ_i| − τ)⁺, for a falling τ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.confidence import demand
from saddlepoint.attacks.core.contract import MinimumNorm
from saddlepoint.attacks.core.final_search import final_projection
from saddlepoint.attacks.core.steps import start_of
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.attacks.minimum_norm.carlini_wagner.box import BoxName
from saddlepoint.attacks.minimum_norm.carlini_wagner.loop import (
    PAPER,
    Descent,
    first_gradient,
    raising,
)
from saddlepoint.attacks.minimum_norm.carlini_wagner.objectives import ObjectiveName
from saddlepoint.option_values import (
    BelowOne,
    Count,
    Fraction,
    Natural,
    NonNegative,
    Positive,
)
from saddlepoint.threat.norms import expand

_RAISE = 4.0
_LARGEST = 1e30


def beyond_tau(change: Tensor, tau: Tensor) -> tuple[Tensor, Tensor]:
    """Return Σ(|δ_i| − τ)⁺ and its gradient.

    >>> beyond_tau(torch.tensor([[0.5, -0.1]]), torch.tensor([0.2]))
    (tensor([0.3000]), tensor([[1., 0.]]))
    """
    over = (change.abs() - expand(tau, change)).relu()
    return over.flatten(1).sum(1), torch.where(over > 0, change.sign(), 0.0)


@dataclass(frozen=True, kw_only=True)
class CarliniWagnerLinf(MinimumNorm):
    """Carlini and Wagner's Linf attack: a success within τ lowers τ to 0.9 times what it used.

    Each τ goes on from the last success, each c from where the last ended. Where one fails for every
    c, the step from the last success is halved, `refinements` times; with 0 the search ends there,
    as published.

    Args:
        threat: Linf.
        objective, confidence: as for `CarliniWagnerL2`.
        box: as there. "tanh" is the paper's: features on a bound then leave it slowly, and on MNIST
            it takes twice the passes; where few features are on a bound it may come nearer.
        steps: Adam's iterations per c and τ at most.
        learning_rate: Adam's.
        searches: values of c at most for each τ, each four times the last.
        initial_c: the first c; None is the inverse of the largest |∂f/∂x_i| at the image, up to
            which the penalty holds every feature that goes beyond τ.
        factor: what τ falls by.
        rounds: values of τ at most.
        refinements: see above.
        patience, tolerance, decays: as for `CarliniWagnerL2`.
        bisections: final steps towards the clean image.

    >>> from saddlepoint.threat import Linf
    >>> net, images = torch.nn.Flatten(), torch.tensor([[0.9, 0.3]])
    >>> result = CarliniWagnerLinf(Linf(), steps=100)(net, images, torch.tensor([0]))
    >>> [round(float(d), 2) for d in result.distance]
    [0.3]
    """

    objective: ObjectiveName = "f6"
    box: BoxName = "projected"
    confidence: NonNegative = 0.0
    steps: Count = 1000
    learning_rate: Positive = 0.01
    searches: Count = 5
    initial_c: Positive | None = None
    factor: Fraction = 0.9
    rounds: Count = 100
    refinements: Natural = 3
    patience: Count = 30
    tolerance: BelowOne = 1e-3
    decays: Natural = 1
    bisections: Natural = 10

    norms = ("Linf",)
    paper = PAPER
    cost = "a descent for each threshold, some 2000 each way"
    paper_options: ClassVar[Mapping[str, Any]] = {
        "box": "tanh", "initial_c": 1e-5, "searches": 11, "refinements": 0, "decays": 0,
        "bisections": 0,
    }  # fmt: skip

    @property
    def expected_steps(self) -> int:
        """The passes as a rule; see `Attack`."""
        return self.searches * self.steps

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Lower τ, sample by sample, until it fails."""
        batch = whole = demand(batch, tracker, self.confidence)
        x = start_of(batch, "clean", 0)
        c = self._first_c(batch, x)
        tau = torch.ones_like(c)
        used = torch.full_like(c, torch.inf)  # the distance of the last success
        step = torch.full_like(c, 1 - self.factor)
        refined = torch.zeros_like(batch.index)
        for _ in range(self.rounds):
            found, x, c = raising(
                batch, tracker, x, c, Descent.of(self), beyond_tau, tau,
                enough=0.0, factor=_RAISE, searches=self.searches,
            )  # fmt: skip
            reached = batch.distance(x).minimum(tau)
            used = torch.where(found, reached, used)
            step = torch.where(found, step, step / 2)
            refined = refined + (~found).long()
            tau = used * (1 - step)
            go = used.isfinite() & (refined <= self.refinements) & (tau > 0)
            if not bool(go.any()):
                break
            batch = batch.at(go)
            x, c, tau, used, step, refined = (t[go] for t in (x, c, tau, used, step, refined))
        final_projection(whole, tracker, self.bisections)

    def _first_c(self, batch: Batch, x: Tensor) -> Tensor:
        _, gradient = first_gradient(batch, x, Descent.of(self))
        if self.initial_c is not None:
            return torch.full_like(gradient.flatten(1)[:, 0], self.initial_c)
        most = gradient.abs().flatten(1).amax(1)
        return torch.where(most > 0, 1 / most, 1.0).clamp_max(_LARGEST)
