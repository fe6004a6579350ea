"""The perceptrons of the first generative adversarial nets."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.option_values import BelowOne, Count, check_value
from saddlepoint.zoo.generator import Generator
from saddlepoint.zoo.maxout import MaxoutLayer
from saddlepoint.zoo.shapes import Size, sides


class MLPGenerator(Generator):
    """z through hidden layers with ReLU to every pixel: `body` has the layers.

    The authors drew z uniformly and ended in a sigmoid, which is a tanh of half the input moved to
    [0, 1], as here.

    Args:
        latent: the numbers of z.
        widths: of the hidden layers.

    Reference: Goodfellow et al., Generative Adversarial Nets, 2014, arXiv:1406.2661.

    >>> import torch
    >>> net = MLPGenerator(latent=100, widths=(256, 512))
    >>> net(torch.randn(2, 100)).shape, sum(each.numel() for each in net.parameters())
    (torch.Size([2, 1, 28, 28]), 559632)
    """

    def __init__(
        self,
        latent: Count = 100,
        widths: tuple[Count, ...] = (256, 512),
        *,
        channels: int = 1,
        size: Size = 28,
    ) -> None:
        super().__init__(latent, channels=channels, size=size, name="gan-mlp")
        check_value("gan-mlp: widths", widths, tuple[Count, ...])
        height, width = sides(size)
        layers = OrderedDict[str, nn.Module]()
        for i, (inputs, outputs) in enumerate(pairwise((latent, *widths)), start=1):
            layers |= {f"linear{i}": nn.Linear(inputs, outputs), f"relu{i}": nn.ReLU()}
        layers["pixels"] = nn.Linear((latent, *widths)[-1], channels * height * width)
        self.body = nn.Sequential(layers)


class MaxoutDiscriminator(nn.Module):
    """The authors' discriminator: two hidden layers of maxout units, dropout before each, one logit.

    The logit ℓ is of "the image is from the data": D(x) = σ(ℓ(x)). Dropout is also of the pixels.

    Args:
        units: of each hidden layer; `pieces` affine functions for each unit.
        dropout: the shares of pixels and of hidden units that are dropped in training.

    Reference: Goodfellow et al., Generative Adversarial Nets, 2014, arXiv:1406.2661.

    >>> import torch
    >>> MaxoutDiscriminator()(torch.rand(3, 1, 28, 28)).shape
    torch.Size([3])
    """

    def __init__(
        self,
        units: Count = 240,
        pieces: Count = 5,
        dropout: tuple[BelowOne, BelowOne] = (0.2, 0.5),
        *,
        channels: int = 1,
        size: Size = 28,
    ) -> None:
        super().__init__()
        height, width = sides(size)
        self.layers = nn.Sequential(
            OrderedDict[str, nn.Module](
                flatten=nn.Flatten(),
                dropout0=nn.Dropout(dropout[0]),
                maxout1=MaxoutLayer(channels * height * width, units, pieces),
                dropout1=nn.Dropout(dropout[1]),
                maxout2=MaxoutLayer(units, units, pieces),
                dropout2=nn.Dropout(dropout[1]),
                logit=nn.Linear(units, 1),
            )
        )

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return the logits of images in [0, 1]."""
        logits: Tensor = self.layers(images * 2 - 1)
        return logits[:, 0]


class MLPDiscriminator(nn.Module):
    """Hidden layers with leaky ReLU (0.2) and dropout after each, one logit: what is usual now.

    >>> import torch
    >>> MLPDiscriminator(size=8)(torch.rand(3, 1, 8, 8)).shape
    torch.Size([3])
    """

    def __init__(
        self,
        widths: tuple[Count, ...] = (512, 256),
        dropout: BelowOne = 0.3,
        *,
        channels: int = 1,
        size: Size = 28,
    ) -> None:
        super().__init__()
        height, width = sides(size)
        sizes = (channels * height * width, *widths)
        layers = OrderedDict[str, nn.Module](flatten=nn.Flatten())
        for i, (inputs, outputs) in enumerate(pairwise(sizes), start=1):
            layers[f"linear{i}"] = nn.Linear(inputs, outputs)
            layers[f"relu{i}"] = nn.LeakyReLU(0.2)
            layers[f"dropout{i}"] = nn.Dropout(dropout)
        layers["logit"] = nn.Linear(sizes[-1], 1)
        self.layers = nn.Sequential(layers)

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return the logits of images in [0, 1]."""
        logits: Tensor = self.layers(images * 2 - 1)
        return logits[:, 0]
