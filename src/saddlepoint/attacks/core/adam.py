"""Adam's running moments, sample by sample, so that a loop can drop samples of them."""

from __future__ import annotations

from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor

_MEAN, _SQUARE = 0.9, 0.999
EPSILON = 1e-8
"""What keeps Adam's denominator from 0."""


class Adam:
    """The means of the gradients (m, …) and of their squares so far, and the corrections for the
    zeros that they began with.

    Reference: Kingma and Ba 2015, arXiv:1412.6980.

    >>> adam = Adam(torch.zeros(2, 3))
    >>> adam.update(torch.ones(2, 3))
    >>> adam.mean[0, 0] / adam.mean_part, round(adam.square_part, 4)
    (tensor(1.), 0.001)
    """

    def __init__(self, like: Float[Tensor, "m ..."]) -> None:
        self.mean, self.square = torch.zeros_like(like), torch.zeros_like(like)
        self.mean_part, self.square_part = 0.0, 0.0
        """The shares of the means that the gradients make up, 1 − βᵗ."""
        self._count = 0

    def update(self, gradient: Float[Tensor, "m ..."]) -> None:
        """Take another gradient into the means."""
        self._count += 1
        self.mean.lerp_(gradient, 1 - _MEAN)
        self.square.mul_(_SQUARE).addcmul_(gradient, gradient, value=1 - _SQUARE)
        self.mean_part, self.square_part = 1 - _MEAN**self._count, 1 - _SQUARE**self._count

    def drop_to(self, rows: Tensor) -> Self:
        """Keep the samples `rows` alone."""
        self.mean, self.square = self.mean[rows], self.square[rows]
        return self
