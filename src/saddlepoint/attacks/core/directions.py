"""Gradients as directions: their lengths, and what stands in for those that are zero."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.threat.norms import expand, unit


def euclidean(x: Float[Tensor, "m ..."]) -> Float[Tensor, " m"]:
    """Return the Euclidean length of each sample, in one pass over it.

    >>> euclidean(torch.tensor([[3.0, 4.0]]))
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
    >>> euclidean(spare.at(0)), bool((spare.at(0) != spare.at(1)).all())
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
    >>> usable(g, euclidean(g), None, 0)  # nothing to draw
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
