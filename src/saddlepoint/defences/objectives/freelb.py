"""FreeLB: the gradients of all steps of an ascent in the embedding, added up to one step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.data import Data
from saddlepoint.defences.objectives.in_embedding import HeldNoise, InEmbedding
from saddlepoint.objectives.classify import Classify
from saddlepoint.objectives.contract import StepOutput, TrainingBatch
from saddlepoint.option_values import Count, NonNegative, Positive
from saddlepoint.threat.norms import norm, unit


@dataclass(frozen=True)
class FreeLB(Classify):
    """The mean loss along an ascent of K steps in the embedding, the weights moving once at its end.

    δ₀ has entries of U(−ε₀, ε₀)/√(T·d), T the tokens of the text; for t = 1 … K the gradients
    ∇_θ L(x + δ)/K are added up, and δ ← Π(δ + α·g/‖g‖_F), for which the same backward pass has the
    g. The last ascent would be of no use, and is left out. Dropout draws the same in all K passes.
    All tokens of a text are perturbed, as published: [CLS] and [SEP] too.

    Args:
        label_smoothing: the share of the target spread over all classes.
        steps: K.
        step_size: α, a length of the whole perturbation.
        magnitude: ε₀, about the length of the first perturbation.
        eps: the largest length of the perturbation; 0 is no bound, as published.

    Reference: Zhu, Cheng, Gan, Sun, Goldstein and Liu 2020, arXiv:1909.11764.

    >>> FreeLB(steps=2).step_size
    0.1
    """

    steps: Count = 3
    step_size: Positive = 0.1
    magnitude: NonNegative = 0.05
    eps: NonNegative = 0.0

    paper = "Zhu et al. 2020, arXiv:1909.11764"
    cost = "K full passes"

    def begin(self, model: nn.Module, data: Data | None) -> Ascending:
        """Return what runs."""
        return Ascending(self, model, data)


class Ascending(InEmbedding):
    """A run of FreeLB.

    >>> issubclass(Ascending, InEmbedding)
    True
    """

    objective: FreeLB

    def accumulate(self, model: nn.Module, batch: TrainingBatch) -> StepOutput:
        """Add the gradients of the mean over the ascent."""
        steps = self.objective.steps
        delta, noise = self._start(model, batch), HeldNoise(batch.ids.device)
        total: Tensor | float = 0.0
        for t in range(1, steps + 1):
            if t > 1:
                noise.again()
            delta.requires_grad_(t < steps)
            loss, logits = self.passed(model, batch, delta)
            (loss / steps).backward()  # type: ignore[no-untyped-call]
            total = total + loss.detach() / steps
            if delta.grad is not None:
                delta = self._projected(delta.detach() + self._ascent(delta.grad))
        assert isinstance(total, Tensor)
        return StepOutput.classified(total, logits, batch.labels)

    def _start(self, model: nn.Module, batch: TrainingBatch) -> Float[Tensor, "n t d"]:
        """Return δ₀, 0 at padding."""
        tokens, like = batch.tokens, next(model.parameters())
        width = self._width(model, batch)
        drawn = 2 * batch.keys.uniform((tokens.ids.shape[1], width)).to(like.dtype) - 1
        size = self.objective.magnitude / (tokens.lengths * width).to(like.dtype).sqrt()
        return drawn * size[:, None, None] * tokens.keep[..., None]

    def _width(self, model: nn.Module, batch: TrainingBatch) -> int:
        with torch.no_grad():
            return int(model.embedding(batch.tokens.at(slice(0, 1))).shape[-1])  # type: ignore[operator]

    def _ascent(self, gradient: Float[Tensor, "n t d"]) -> Float[Tensor, "n t d"]:
        return self.objective.step_size * unit(gradient, 2)

    def _projected(self, delta: Float[Tensor, "n t d"]) -> Float[Tensor, "n t d"]:
        eps = self.objective.eps
        if eps == 0:
            return delta
        length = norm(delta, 2).clamp_min(torch.finfo(delta.dtype).tiny)
        return delta * (eps / length).clamp_max(1.0)[:, None, None]
