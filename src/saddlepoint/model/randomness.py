"""Layers that are random at inference, and how a model declares itself so."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from saddlepoint.keyed import Keys


class RandomLayer(nn.Module):
    """A layer that is random at inference and draws from the keyed stream of each sample.

    Inside a guard `keys` is set before every pass, so that the noise is a function of (seed, id,
    pass); outside, in training for instance, it is None and the layer uses torch's own generator.

    >>> is_random(nn.Sequential(RandomLayer()))
    True
    """

    is_random: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.keys: Keys | None = None
        self.number = 0
        self.pass_number = 0

    def noise(self, like: Tensor) -> Tensor:
        """Return standard normal noise in the shape of `like`."""
        if self.keys is None:
            return torch.randn_like(like)
        draw = self.keys.normal(like.shape[1:], step=self.pass_number, draw=self.number)
        return draw.to(like.dtype)


def is_random(model: nn.Module) -> bool:
    """Say whether the model, or a layer of it, declares itself random at inference.

    >>> is_random(nn.Linear(1, 1))
    False
    """
    return any(getattr(module, "is_random", False) for module in model.modules())
