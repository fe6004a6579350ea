"""A small discriminator of images, for games beside another loss."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.zoo.shapes import check_counts


class Critic(nn.Module):
    """Two strided convolutions, a mean over places, one logit ℓ: σ(ℓ) is D(x) of images of any size.

    >>> import torch
    >>> Critic(1)(torch.rand(3, 1, 8, 8)).shape
    torch.Size([3])
    """

    def __init__(self, channels: int = 1, width: int = 16) -> None:
        super().__init__()
        check_counts(2, channels)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 2 * width, 1),
            nn.LeakyReLU(0.2),
        )
        self.logit = nn.Linear(2 * width, 1)

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return the logits of images in [0, 1]."""
        logits: Tensor = self.logit(self.layers(images * 2 - 1).mean((2, 3)))
        return logits[:, 0]
