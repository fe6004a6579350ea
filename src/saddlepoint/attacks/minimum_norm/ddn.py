"""DDN: a fixed length of the change at every step, shorter after a success and longer after a
failure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import Attack
from saddlepoint.attacks.core.criteria import Loss
from saddlepoint.attacks.core.final_search import bisect
from saddlepoint.attacks.core.inputs import check_passes
from saddlepoint.attacks.core.steps import cosine, start_of
from saddlepoint.attacks.core.tracker import Keeper
from saddlepoint.attacks.fixed_budget.pgd import check_loop
from saddlepoint.errors import InputError
from saddlepoint.threat.norms import expand, unit


@dataclass(frozen=True, kw_only=True)
class DDN(Attack):
    """Decoupled direction and norm: δ ← r·(δ + α·g/‖g‖)/‖δ + α·g/‖g‖‖, clipped to the range.

    The radius r is multiplied by 1 − γ where the last iterate fooled, and by 1 + γ elsewhere. The
    paper's own attack is `loss="softmax-cross-entropy"`, `final_gamma=0.05`, `radius=1.0`,
    `bisections=0`; the defaults find shorter changes in the same passes.

    Args:
        threat: L2, without a budget.
        steps: iterations, a pass each way; the best of the paper's settings is 1000.
        step_size: α of the first step, in the units of the distance; it falls to a hundredth along
            half a cosine.
        gamma: γ of the first step, above 0 and below 1.
        final_gamma: γ of the last step, reached along the same cosine.
        radius: r of the first step, in the units of the distance; None is each image's distance
            to the linearised boundary, |m|/‖∇m‖₂ (of the loss "cross-entropy", 1). Where `starts`
            or an earlier run have fooled, it is the distance of the nearest instead.
        loss: "margin" (max_{j≠y} Z_j − Z_y), "cross-entropy", or "both": half of the steps with
            the one, then half from the start again with the other, which often ends in
            another class.
        bisections: forward passes that end the attack, on the segment to the clean image.

    Reference: Rony, Hafemann, Oliveira, Ben Ayed, Sabourin and Granger 2019, arXiv:1811.09600.

    >>> from saddlepoint.threat import L2
    >>> net, x = torch.nn.Flatten(), torch.tensor([[0.9, 0.3]])
    >>> result = DDN(L2(), steps=50)(net, x, torch.tensor([0]))
    >>> f"{float(result.distance):.3f}"  # 0.6/√2
    '0.424'
    """

    steps: int = 100
    step_size: float = 1.0
    gamma: float = 0.05
    final_gamma: float = 0.001
    radius: float | None = None
    loss: Literal["both", "margin", "cross-entropy"] = "both"
    bisections: int = 10

    minimum_norm = True
    norms = ("L2",)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least_one("steps")
        loss = "margin" if self.loss == "both" else self.loss
        check_loop(self.step_size, self.radius, "clean", loss)
        check_adaptation(self.gamma, self.final_gamma)
        check_passes(bisections=self.bisections)

    def perturb(self, batch: Batch, best: Keeper) -> None:
        """Turn the change towards the gradient, and rescale it to the radius."""
        if self.loss != "both":
            x = self._run(batch, best, self.loss, 0, self.steps)
        else:
            half = self.steps // 2
            x = self._run(batch, best, "margin", 0, self.steps - half)
            if half:
                best.last(batch, x)
                x = self._run(batch, best, "cross-entropy", self.steps - half, half)
        best.last(batch, x)
        bisect(batch, best, self.bisections)

    def _run(self, batch: Batch, best: Keeper, loss: Loss, begun: int, steps: int) -> Tensor:
        """Return the last iterate of `steps` steps from the start, which is not recorded."""
        clean, (low, high) = batch.clean, batch.bounds
        farthest = size(torch.maximum(high - clean, clean - low))
        x, spare = start_of(batch, "clean", 0), Spare(batch)
        delta = x - clean
        radius = torch.zeros_like(farthest)
        for step in range(steps):
            fall = cosine(step, steps)
            gamma = self.final_gamma + (self.gamma - self.final_gamma) * fall
            logits, gradient = batch.gradient(x, batch.loss(loss))
            margin = batch.margin(logits)
            fooled = margin < 0
            best.record(batch, x, logits)
            norm = size(gradient)
            if step == 0:
                radius = self._first(margin.abs().to(norm.dtype) / norm, farthest, loss)
                nearest = best.length[batch.index].to(radius.dtype)
                radius = torch.where(nearest.isfinite(), nearest, radius)
            gradient, norm = usable(gradient, norm, spare, begun + step)
            radius = torch.where(fooled, (1 - gamma) * radius, (1 + gamma) * radius)
            radius = torch.minimum(radius, farthest)
            alpha = self.step_size * (0.01 + 0.99 * fall)
            delta.addcmul_(gradient, expand(alpha / norm, x))
            scale = radius / size(delta).clamp_min(torch.finfo(x.dtype).tiny)
            x = torch.addcmul(clean, delta, expand(scale, x)).clamp_(low, high)
            delta = torch.sub(x, clean, out=delta)
        return x

    def _first(self, distance: Tensor, farthest: Tensor, loss: Loss) -> Tensor:
        if self.radius is not None:
            return torch.full_like(farthest, self.radius)
        one = torch.minimum(farthest, torch.ones_like(farthest))
        if loss != "margin":
            return one
        # Without a slope there is no linearised distance; a tie on the boundary would stay at 0.
        return torch.where((distance > 0) & (distance < farthest), distance, one)


def size(x: Float[Tensor, "m ..."]) -> Float[Tensor, " m"]:
    """Return the Euclidean length of each sample, in one pass over it.

    >>> size(torch.tensor([[3.0, 4.0]]))
    tensor([5.])
    """
    length: Tensor = torch.linalg.vector_norm(x.flatten(1), dim=1)
    return length


# Squares of gradients between these neither under- nor overflow in float32.
_LEAST, _MOST = 1e-15, 1e15


class Spare:
    """Random directions for samples whose gradient is zero, another one at each step.

    On CUDA, where nobody looks whether one is needed, a single draw serves every step, moved on by
    a feature each time: drawing anew would cost as much as a pass.

    >>> from saddlepoint.attacks import Misclassified
    >>> from saddlepoint.streams import Keys
    >>> from saddlepoint.model import Guard
    >>> from saddlepoint.threat import L2
    >>> images, rows = torch.zeros(1, 2), torch.arange(1)
    >>> guard = Guard(torch.nn.Flatten(), count=1)
    >>> spare = Spare(Batch(guard, L2(), Misclassified(), images, rows, Keys(0, rows), rows))
    >>> size(spare.at(0)), bool((spare.at(0) != spare.at(1)).all())
    (tensor([1.]), True)
    """

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._drawn = self._draw(0) if batch.images.is_cuda else None

    def at(self, step: int) -> Float[Tensor, "m ..."]:
        """Return the directions of a step, of length 1; features that may not change are 0."""
        if self._drawn is None:
            drawn = self._draw(step)
        else:
            drawn = self._drawn.flatten(1).roll(step, dims=1).reshape(self._drawn.shape)
        mask = self._batch.mask
        return unit(drawn if mask is None else drawn * mask, 2)

    def _draw(self, step: int) -> Tensor:
        images = self._batch.images
        return self._batch.keys.normal(images.shape[1:], step=step).to(images.dtype)


def usable(
    gradient: Float[Tensor, "m ..."], norm: Float[Tensor, " m"], spare: Spare | None, step: int
) -> tuple[Float[Tensor, "m ..."], Float[Tensor, " m"]]:
    """Return a gradient and its length that divide safely; a random direction where it is zero.

    >>> g = torch.tensor([[3.0, 4.0]])
    >>> usable(g, size(g), None, 0)  # nothing to draw
    (tensor([[3., 4.]]), tensor([5.]))
    """
    rough = ~((norm > _LEAST) & (norm < _MOST))
    blind = gradient.is_cuda  # a look at the values would make the step wait
    if not blind and not bool(rough.any()):
        return gradient, norm
    scaled = unit(gradient, 2)
    flat = ~(scaled != 0).flatten(1).any(1)
    if spare is not None and (blind or bool(flat.any())):
        scaled = torch.where(expand(flat, scaled), spare.at(step).to(scaled.dtype), scaled)
    return torch.where(expand(rough, gradient), scaled, gradient), torch.where(rough, 1.0, norm)


def check_adaptation(gamma: float, final_gamma: float) -> None:
    """Raise `InputError` for a first γ outside (0, 1) or a last one outside [0, 1).

    >>> check_adaptation(1.5, 0.001)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: gamma is 1.5; give a number between 0 and 1
    """
    if not 0 < gamma < 1:
        raise InputError(f"gamma is {gamma}; give a number between 0 and 1")
    if not 0 <= final_gamma < 1:
        raise InputError(f"final_gamma is {final_gamma}; give a number from 0 to below 1")
