"""The networks on which Carlini and Wagner measured their attacks, for MNIST and for CIFAR."""

from __future__ import annotations

from collections import OrderedDict

from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.errors import InputError
from saddlepoint.zoo.shapes import Size, check_counts, sides


class CarliniBlock(nn.Sequential):
    """Two 3×3 convolutions without padding, each with ReLU, then max-pooling by 2.

    >>> import torch
    >>> CarliniBlock(1, 32)(torch.rand(2, 1, 28, 28)).shape
    torch.Size([2, 32, 12, 12])
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            conv1=nn.Conv2d(inputs, outputs, 3),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(outputs, outputs, 3),
            relu2=nn.ReLU(),
            pool=nn.MaxPool2d(2),
        )
        super().__init__(layers)


class Carlini(nn.Module):
    """Two blocks of convolutions (`block1`, `block2`), then two hidden layers with dropout of ½
    between them and the logits (`head`). `size` is a side or (H, W).

    Weights begin as in the authors' code: uniform after Glorot and Bengio (2010), biases at zero.
    Raises `InputError` for images with a side below 16: the convolutions would leave nothing.

    Args:
        widths: the channels of the two blocks: (32, 64) for MNIST, (64, 128) for CIFAR.
        hidden: of each hidden layer: 200 for MNIST, 256 for CIFAR.

    Reference: Carlini and Wagner 2017, arXiv:1608.04644, table 1.

    >>> import torch
    >>> Carlini(classes=10, channels=1, size=28)(torch.rand(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        widths: tuple[int, int] = (32, 64),
        hidden: int = 200,
        *,
        classes: int = 10,
        channels: int = 1,
        size: Size = 28,
    ) -> None:
        super().__init__()
        check_counts(classes, channels)
        height, width = sides(size)
        if min(height, width) < 16:
            raise InputError(
                f"the images are {height}×{width}; this network's convolutions, which do not pad,"
                " need sides of at least 16"
            )
        self.shape = (channels, height, width)
        self.block1 = CarliniBlock(channels, widths[0])
        self.block2 = CarliniBlock(widths[0], widths[1])
        features = widths[1] * _pooled(_pooled(height)) * _pooled(_pooled(width))
        self.head = nn.Sequential(
            OrderedDict[str, nn.Module](
                flatten=nn.Flatten(),
                linear1=nn.Linear(features, hidden),
                relu1=nn.ReLU(),
                dropout=nn.Dropout(0.5),
                linear2=nn.Linear(hidden, hidden),
                relu2=nn.ReLU(),
                logits=nn.Linear(hidden, classes),
            )
        )
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)
            else:
                nn.init.zeros_(parameter)

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Return the logits of images of the size the network was built for."""
        if tuple(images.shape[1:]) != self.shape:
            raise InputError(
                f"images have shape {tuple(images.shape[1:])} but the network was built for "
                f"{self.shape}"
            )
        logits: Tensor = self.head(self.block2(self.block1(images)))
        return logits


def _pooled(side: int) -> int:
    """Return what a block leaves of a side."""
    return (side - 4) // 2
