"""Normalised: a network with its normalisation inside, so that everything outside it is in
pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.errors import InputError

LEAST_STD = torch.finfo(torch.float32).tiny
"""A smaller standard deviation becomes 0 in float32, or its quotients infinite."""


class Normalised(nn.Module):
    """A network that normalises its images itself: net((x − mean) / std), per channel.

    The constants are buffers, so that they travel with the weights.

    >>> model = Normalised(nn.Flatten(), mean=(0.5,), std=(0.25,))
    >>> model(torch.ones(1, 1, 1, 2))
    tensor([[2., 2.]])
    """

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        if len(mean) != len(std) or not all(s >= LEAST_STD for s in std):
            raise InputError(
                f"mean {tuple(mean)} and std {tuple(std)} need equal lengths and"
                f" std ≥ {LEAST_STD:.4g}, the least normal number of float32"
            )
        self.net = net
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).reshape(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).reshape(-1, 1, 1))

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Return the logits of images in [0, 1]."""
        if images.ndim != 4 or images.shape[1] != len(self.mean):
            raise InputError(
                f"images have shape {tuple(images.shape)}; the model takes"
                f" (n, {len(self.mean)}, height, width)"
            )
        logits: Tensor = self.net((images - self.mean) / self.std)
        return logits
