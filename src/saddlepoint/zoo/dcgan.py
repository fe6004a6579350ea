"""The convolutional bodies of both players, after the deep convolutional GAN."""

from __future__ import annotations

from collections import OrderedDict

from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.errors import InputError
from saddlepoint.option_values import Count, check_value
from saddlepoint.zoo.generator import Generator
from saddlepoint.zoo.shapes import Size, sides


class DCGenerator(Generator):
    """z to maps of a quarter of the side, doubled twice by transposed convolutions, with BatchNorm.

    The authors' has three doublings or four, from 4×4; two make sides that are multiples of 4, of
    which 28 is one.

    Args:
        latent: the numbers of z.
        maps: before the last layer; twice as many before those.

    Raises `InputError` for sides that are no multiple of 4.
    Reference: Radford, Metz and Chintala, Unsupervised Representation Learning with Deep Convolutional
    Generative Adversarial Networks, 2016, arXiv:1511.06434.

    >>> import torch
    >>> DCGenerator(maps=8, size=(8, 12))(torch.randn(2, 100)).shape
    torch.Size([2, 1, 8, 12])
    """

    def __init__(
        self, latent: Count = 100, maps: Count = 64, *, channels: int = 1, size: Size = 28
    ) -> None:
        super().__init__(latent, channels=channels, size=size, name="gan-dcgan")
        check_value("gan-dcgan: maps", maps, Count)
        rows, columns = quarters(size)
        # No biases before BatchNorm, which would take them away again.
        self.body = nn.Sequential(
            OrderedDict[str, nn.Module](
                project=nn.Linear(latent, 2 * maps * rows * columns, bias=False),
                grid=nn.Unflatten(1, (2 * maps, rows, columns)),
                norm1=nn.BatchNorm2d(2 * maps),
                relu1=nn.ReLU(),
                double1=nn.ConvTranspose2d(2 * maps, maps, 4, 2, 1, bias=False),
                norm2=nn.BatchNorm2d(maps),
                relu2=nn.ReLU(),
                double2=nn.ConvTranspose2d(maps, channels, 4, 2, 1),
            )
        )
        dcgan_normal(self)


class DCDiscriminator(nn.Module):
    """Two strided convolutions with leaky ReLU (0.2), BatchNorm after the second, one logit.

    Raises `InputError` for sides that are no multiple of 4.

    >>> import torch
    >>> DCDiscriminator(maps=8, size=8)(torch.rand(3, 1, 8, 8)).shape
    torch.Size([3])
    """

    def __init__(self, maps: Count = 64, *, channels: int = 1, size: Size = 28) -> None:
        super().__init__()
        rows, columns = quarters(size)
        self.layers = nn.Sequential(
            OrderedDict[str, nn.Module](
                halve1=nn.Conv2d(channels, maps, 4, 2, 1),
                relu1=nn.LeakyReLU(0.2),
                halve2=nn.Conv2d(maps, 2 * maps, 4, 2, 1, bias=False),
                norm2=nn.BatchNorm2d(2 * maps),
                relu2=nn.LeakyReLU(0.2),
                flatten=nn.Flatten(),
                logit=nn.Linear(2 * maps * rows * columns, 1),
            )
        )
        dcgan_normal(self)

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return the logits of images in [0, 1]."""
        logits: Tensor = self.layers(images * 2 - 1)
        return logits[:, 0]


def quarters(size: Size) -> tuple[int, int]:
    """Return a quarter of each side; raises `InputError` where that is no whole number.

    >>> quarters(28), quarters((8, 12))
    ((7, 7), (2, 3))
    """
    height, width = sides(size)
    if height % 4 or width % 4:
        raise InputError(
            f"images of {height}×{width}: the sides of a DCGAN are multiples of 4; pad them, or take"
            " gan-mlp and discriminator mlp"
        )
    return height // 4, width // 4


def dcgan_normal(module: nn.Module) -> None:
    """Draw weights from N(0, 0.02²), scales of BatchNorm from N(1, 0.02²), in place; biases are 0.

    >>> layer = nn.Linear(9, 9)
    >>> dcgan_normal(layer)
    >>> bool(layer.weight.std() < 0.04), bool(layer.bias.any())
    (True, False)
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(part.weight, std=0.02)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.weight, 1.0, 0.02)
