"""The networks on which Madry et al. measured adversarial training on MNIST, of every width."""

from __future__ import annotations

from collections import OrderedDict

from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.errors import InputError
from saddlepoint.zoo.shapes import Size, check_counts, sides


class MadryBlock(nn.Sequential):
    """A 5×5 convolution that keeps the size, ReLU, max-pooling by 2.

    >>> import torch
    >>> MadryBlock(1, 2)(torch.rand(2, 1, 28, 28)).shape
    torch.Size([2, 2, 14, 14])
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            conv=nn.Conv2d(inputs, outputs, 5, padding=2),
            relu=nn.ReLU(),
            pool=nn.MaxPool2d(2),
        )
        super().__init__(layers)


class MadryCNN(nn.Module):
    """Two blocks of 2·`scale` and 4·`scale` channels (`block1`, `block2`), a hidden layer of
    64·`scale` units and the logits (`head`). `size` is a side or (H, W).

    Weights begin as torch's do, by the inputs of each layer, and so fit every width. (The paper does
    not say how; its code draws all from one distribution.) Raises `InputError` for images with a side
    below 4, of which nothing would be left.

    Args:
        scale: the factor of all widths: 1 (channels 2 and 4, 64 units) to 16 (32, 64 and 1,024, the
            network of their table 1).

    Reference: Madry et al. 2018, arXiv:1706.06083, sections 4 and 5.

    >>> import torch
    >>> MadryCNN(scale=1)(torch.rand(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    >>> [sum(each.numel() for each in MadryCNN(scale).parameters()) for scale in (1, 16)]
    [13514, 3274634]
    """

    def __init__(
        self, scale: int = 16, *, classes: int = 10, channels: int = 1, size: Size = 28
    ) -> None:
        super().__init__()
        check_counts(classes, channels)
        if scale < 1:
            raise InputError(f"the scale is {scale}; give at least 1")
        height, width = sides(size)
        if min(height, width) < 4:
            raise InputError(f"the images are {height}×{width}; this network pools twice by 2")
        self.shape = (channels, height, width)
        self.block1 = MadryBlock(channels, 2 * scale)
        self.block2 = MadryBlock(2 * scale, 4 * scale)
        features = 4 * scale * (height // 4) * (width // 4)
        self.head = nn.Sequential(
            OrderedDict[str, nn.Module](
                flatten=nn.Flatten(),
                linear=nn.Linear(features, 64 * scale),
                relu=nn.ReLU(),
                logits=nn.Linear(64 * scale, classes),
            )
        )

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Return the logits of images of the size the network was built for."""
        if tuple(images.shape[1:]) != self.shape:
            raise InputError(
                f"images have shape {tuple(images.shape[1:])} but the network was built for "
                f"{self.shape}"
            )
        logits: Tensor = self.head(self.block2(self.block1(images)))
        return logits
