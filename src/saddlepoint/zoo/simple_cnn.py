"""A small convolutional network after LeNet-5 and AlexNet, for controlled comparisons."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.errors import InputError
from saddlepoint.zoo.shapes import Size, check_counts, sides


class ConvBlock(nn.Sequential):
    """Convolution, batch normalisation, ReLU, average pooling: `conv`, `norm`, `relu`, `pool`.

    >>> import torch
    >>> ConvBlock(3, 8, kernel=5, pool=True)(torch.rand(2, 3, 8, 8)).shape
    torch.Size([2, 8, 4, 4])
    """

    def __init__(self, inputs: int, outputs: int, *, kernel: int, pool: bool) -> None:
        # No bias: the normalisation that follows would take it away again.
        conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            conv=conv,
            norm=nn.BatchNorm2d(outputs),
            relu=nn.ReLU(),
            pool=nn.AvgPool2d(2) if pool else nn.Identity(),
        )
        super().__init__(layers)


class SimpleCNN(nn.Module):
    """Blocks Conv-BN-ReLU-AvgPool (`blocks.block1` …), then Linear-ReLU layers, then logits.

    Pooling is skipped where a side would fall below 2, so that 8×8 images work. `size` is a side
    or (H, W). After LeCun et al. (1998) and Krizhevsky et al. (2012).
    Raises `InputError` for an even kernel, which would change the size.

    >>> import torch
    >>> SimpleCNN(classes=10, channels=1, size=8)(torch.rand(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        classes: int = 10,
        channels: int = 3,
        size: Size = 32,
        widths: Sequence[int] = (32, 64, 128),
        kernel: int = 5,
        hidden: Sequence[int] = (256,),
    ) -> None:
        super().__init__()
        check_counts(classes, channels)
        if kernel < 1 or kernel % 2 == 0:
            raise InputError(f"the kernel is {kernel}; give an odd number, which keeps the size")
        if not widths:
            raise InputError("widths is empty; give the channels of at least one block")
        height, width = sides(size)
        self.shape = (channels, height, width)

        self.blocks = nn.Sequential()
        for i, outputs in enumerate(widths, start=1):
            pool = min(height, width) // 2 >= 2
            block = ConvBlock(channels, outputs, kernel=kernel, pool=pool)
            self.blocks.add_module(f"block{i}", block)
            channels = outputs
            if pool:
                height, width = height // 2, width // 2

        self.head = nn.Sequential(OrderedDict[str, nn.Module](flatten=nn.Flatten()))
        features = channels * height * width
        for i, outputs in enumerate(hidden, start=1):
            self.head.add_module(f"linear{i}", nn.Linear(features, outputs))
            self.head.add_module(f"relu{i}", nn.ReLU())
            features = outputs
        self.head.add_module("logits", nn.Linear(features, classes))

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Return the logits of images of the size the network was built for."""
        if tuple(images.shape[1:]) != self.shape:
            raise InputError(
                f"images have shape {tuple(images.shape[1:])} but the network was built for "
                f"{self.shape}"
            )
        logits: Tensor = self.head(self.blocks(images))
        return logits
