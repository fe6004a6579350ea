"""Gradients as directions: their Euclidean length, and random directions where they are zero."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.threat import Holding
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


class RandomDirections:
    """Random directions for samples whose gradient is zero, another one at each step.

    On CUDA, where nobody looks whether one is needed, a single draw serves every step, moved on by
    a feature each time: drawing anew would cost as much as a pass.

    >>> from saddlepoint.attacks import Misclassified
    >>> from saddlepoint.streams import Keys
    >>> from saddlepoint.model import Guard
    >>> from saddlepoint.threat import L2
    >>> images, rows = torch.zeros(1, 2), torch.arange(1)
    >>> guard = Guard(torch.nn.Flatten(), count=1)
    >>> batch = Batch(guard, L2(), Misclassified(), images, rows, Keys(0, rows), rows)
    >>> directions = RandomDirections(batch)
    >>> euclidean(directions.at(0)), bool((directions.at(0) != directions.at(1)).all())
    (tensor([1.]), True)
    >>> gradient, norm = directions.replace_zeros(images, torch.zeros(1), step=0)
    >>> torch.equal(gradient, directions.at(0)), norm
    (True, tensor([1.]))
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
        images, keys = self._batch.images, self._batch.keys
        # Of texts, what is drawn must not hang on how far they are padded.
        draw = keys.normal_in_place if isinstance(self._batch.threat, Holding) else keys.normal
        return draw(images.shape[1:], step=step).to(images.dtype)

    def replace_zeros(
        self, gradient: Float[Tensor, "m ..."], norm: Float[Tensor, " m"], step: int
    ) -> tuple[Float[Tensor, "m ..."], Float[Tensor, " m"]]:
        """Return gradients and lengths such that gradient/length is a unit direction: a random one
        where the gradient is zero. Where its square would under- or overflow, the length is 1.
        """
        rough = ~((norm > _LEAST) & (norm < _MOST))
        blind = gradient.is_cuda  # a look at the values would make the step wait
        if not blind and not bool(rough.any()):
            return gradient, norm
        scaled = unit(gradient, 2)
        flat = ~(scaled != 0).flatten(1).any(1)
        if blind or bool(flat.any()):
            scaled = torch.where(expand(flat, scaled), self.at(step).to(scaled.dtype), scaled)
        return torch.where(expand(rough, gradient), scaled, gradient), torch.where(rough, 1.0, norm)
