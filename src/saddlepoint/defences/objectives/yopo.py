"""YOPO: the perturbation moves through the first layer alone, between few full passes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from saddlepoint.data import ImageData
from saddlepoint.defences.objectives.ascent import Ascent, ascendable
from saddlepoint.defences.objectives.first_layer import FirstLayer, climb
from saddlepoint.errors import InputError
from saddlepoint.objectives.contract import Standing, StepOutput, TrainingBatch
from saddlepoint.objectives.passes import backward, forward, label_loss, still
from saddlepoint.option_values import BelowOne, Count, Positive, check_fields
from saddlepoint.threat import Ascendable, NormBall, ThreatModel


@dataclass(frozen=True)
class YOPO:
    """YOPO-m-n: m sweeps, each a full pass for p = ∂ℓ/∂f_0 and n steps on η through f_0 with p held.

        η ← Π(η + α·sgn ∇_η⟨p, f_0(x + η)⟩),  one optimiser step after the m sweeps

    The gradients of the sweeps add up, so that published learning rates are divided by m (0.1·4/m on
    a WideResNet, 0.1·2/m on a PreActResNet-18). All passes are in train mode; the m full ones that
    give gradients move BatchNorm's running statistics, no other does.

    Args:
        threat: the budget that is trained for.
        m, n: full passes, and steps through the first layer for each.
        step_size: α; None is ε/4, the published 2/255 at 8/255.
        mode: which gradients the weights get. "paper": all of them at the end of each sweep, for
            one full pass more. "corrected_code": the rest of the network from the m full passes, f_0
            from ⟨p, f_0⟩ at the end of each sweep. "as_coded": as the reference implementation does
            on the torch of its day, which counts f_0's gradient of the m full passes as well, starts
            unclipped, and ends with one more forward pass that moves the running statistics.
        first_layer: the module at whose output f_0 ends; None is the first convolution or linear
            layer of the network.
        label_smoothing: the share of the target spread over all classes.

    Reference: Zhang et al. 2019, arXiv:1905.00877.

    >>> from saddlepoint.threat import Linf
    >>> YOPO(Linf(8 / 255)).mode
    'corrected_code'
    """

    threat: ThreatModel
    m: Count = 5
    n: Count = 3
    step_size: Positive | None = None
    mode: Literal["paper", "corrected_code", "as_coded"] = "corrected_code"
    first_layer: str | None = None
    label_smoothing: BelowOne = 0.0

    paper = "Zhang et al. 2019, arXiv:1905.00877"
    cost = "m full passes (paper m + 1), m·n passes of the first layer"

    def __post_init__(self) -> None:
        check_fields(self)
        ascendable(self.threat, "YOPO")
        if self.mode == "as_coded" and not isinstance(self.threat, NormBall):
            raise InputError(
                f'YOPO\'s mode "as_coded" is of a norm ball in pixels, not of {self.threat};'
                ' choose "corrected_code"'
            )

    def begin(self, model: nn.Module, data: ImageData) -> Sweeps:
        """Return the run, which knows where the first layer of this model ends."""
        return Sweeps(
            self, FirstLayer(model, self.first_layer, data.images(torch.arange(min(2, len(data)))))
        )

    def accumulate(self, model: nn.Module, batch: TrainingBatch) -> StepOutput:
        """Add the gradients of the m sweeps."""
        first = FirstLayer(model, self.first_layer, batch.images[:2])
        return Sweeps(self, first).accumulate(model, batch)


class Sweeps(Standing):
    """A run of YOPO: the first layer, which the objective does not know.

    >>> from saddlepoint.threat import Linf
    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> x = torch.rand(4, 2)
    >>> run = Sweeps(YOPO(Linf(0.1), m=2, n=2), FirstLayer(net, None, x))
    >>> batch = TrainingBatch(x, torch.zeros(4).long(), torch.arange(4), seed=0)
    >>> run.accumulate(net, batch).sums["accuracy"][1]
    4
    """

    def __init__(self, objective: YOPO, first: FirstLayer) -> None:
        self.objective, self.first = objective, first

    def accumulate(self, model: nn.Module, batch: TrainingBatch) -> StepOutput:
        """Add the gradients of the m sweeps, as the mode says."""
        sweeps = {
            "paper": self._paper,
            "corrected_code": self._corrected_code,
            "as_coded": self._as_coded,
        }
        return sweeps[self.objective.mode](model, batch)

    def _corrected_code(self, model: nn.Module, batch: TrainingBatch) -> StepOutput:
        yopo, threat, ascent = self.objective, self._threat, self._ascent(batch)
        w = threat.random_start(batch.images, batch.keys)
        for _ in range(yopo.m):
            # The cut gives the rest of the network its gradients of the full pass, and f_0 none.
            w = w.requires_grad_()
            output, z, p = self._full(model, batch, threat.render(batch.images, w))
            w = climb(self.first, model, batch, ascent, w, p, yopo.n, z)
            self._end(model, batch, threat.render(batch.images, w), p)
        return output

    def _paper(self, model: nn.Module, batch: TrainingBatch) -> StepOutput:
        yopo, threat, ascent = self.objective, self._threat, self._ascent(batch)
        w = threat.random_start(batch.images, batch.keys).requires_grad_()
        with still(model), self.first.cut(model) as ends:  # this one is no descent
            logits = forward(model, batch, threat.render(batch.images, w))
        z, leaf = ends
        (p,) = torch.autograd.grad(self._loss(batch, logits), leaf)  # of no weight
        for _ in range(yopo.m):
            w = climb(self.first, model, batch, ascent, w, p, yopo.n, z)
            w = w.requires_grad_()
            output, z, p = self._full(model, batch, threat.render(batch.images, w))
            z.backward(p, retain_graph=True, inputs=_weights(model))  # type: ignore[no-untyped-call]
        return output

    def _as_coded(self, model: nn.Module, batch: TrainingBatch) -> StepOutput:
        yopo, threat, ascent = self.objective, self._threat, self._ascent(batch)
        assert isinstance(threat, NormBall)
        # The range comes later, as a clamp; the ball alone is what the start is drawn from.
        ball = replace(threat, lower=-math.inf, upper=math.inf)
        w, bounds = ball.random_start(batch.images, batch.keys), threat.range(batch.images)
        for _ in range(yopo.m):
            output, z, p = self._full(model, batch, threat.render(batch.images, w))
            if z.requires_grad:
                z.backward(p)  # type: ignore[no-untyped-call]
            # A pixel outside the range does not move at the first step: there the clamp is flat.
            w = climb(self.first, model, batch, ascent, w, p, yopo.n, bounds=bounds)
            self._end(model, batch, threat.render(batch.images, w), p)
        with torch.no_grad():
            forward(model, batch, threat.render(batch.images, w))
        return output

    @property
    def _threat(self) -> Ascendable:
        return ascendable(self.objective.threat, "YOPO")

    def _ascent(self, batch: TrainingBatch) -> Ascent:
        return Ascent(self._threat, batch.images, self.objective.step_size, 0.25)

    def _loss(self, batch: TrainingBatch, logits: Tensor) -> Tensor:
        return label_loss(batch, logits, self.objective.label_smoothing)

    def _full(
        self, model: nn.Module, batch: TrainingBatch, images: Tensor
    ) -> tuple[StepOutput, Tensor, Tensor]:
        """Add the gradients of all behind f_0; return f_0's output with its graph, and p."""
        with self.first.cut(model) as ends:
            logits = forward(model, batch, images)
        output = backward(batch, self._loss(batch, logits), logits)
        z, leaf = ends
        assert leaf.grad is not None
        return output, z, leaf.grad

    def _end(self, model: nn.Module, batch: TrainingBatch, images: Tensor, p: Tensor) -> None:
        """Add the gradients of ⟨p, f_0⟩ in the weights of f_0."""
        with still(model), batch.autocast():
            z = self.first(model, images)
        if z.requires_grad:  # not where f_0 is frozen
            z.backward(p)  # type: ignore[no-untyped-call]


def _weights(model: nn.Module) -> list[nn.Parameter]:
    return [each for each in model.parameters() if each.requires_grad]
