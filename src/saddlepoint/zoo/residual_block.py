"""The residual blocks of He et al. (2016): two 3×3 convolutions, or 1×1, 3×3, 1×1."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.errors import InputError, unknown
from saddlepoint.option_values import check_value
from saddlepoint.zoo.shortcuts import Shortcut, shortcut_of

StrideOn = Literal["1x1", "3x3"]
"""Which convolution of a bottleneck has the stride: the first 1×1, as He et al. put it, or the 3×3, as
torchvision and timm do ("v1.5"). Parameters are the same."""


class BasicBlock(nn.Module):
    """Two 3×3 convolutions, normalised, around which the input is added.

    Args:
        inputs, width: channels before and after.
        stride: of the first convolution and of the shortcut.
        shortcut: what the branch is added to; `shortcut_of("none")` makes a plain block.

    >>> import torch
    >>> BasicBlock(16, 32, stride=2)(torch.rand(1, 16, 8, 8)).shape
    torch.Size([1, 32, 4, 4])
    """

    expansion: ClassVar[int] = 1

    def __init__(
        self,
        inputs: int,
        width: int,
        stride: int,
        shortcut: Shortcut = shortcut_of("A"),  # noqa: B008 - a function, without state
        stride_on: StrideOn = "3x3",
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU()
        self.shortcut = shortcut(inputs, width, stride)

    @property
    def last(self) -> nn.BatchNorm2d:
        """The module whose output is the branch's."""
        return self.norm2

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h2 w2"]:
        """Return relu(f(x) + shortcut(x)), of a plain block relu(f(x))."""
        y = self.relu1(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        out: Tensor = self.relu2(y if self.shortcut is None else y + self.shortcut(x))
        return out


class Bottleneck(nn.Module):
    """Convolutions 1×1 to `width` channels, 3×3, and 1×1 to 4·`width`, around which the input is
    added.

    256 → 64 → 64 → 256 costs about as much as a basic block of 64 channels. It is sometimes said that
    such a block has four times the channels of its input; that holds for the first block of the first
    stage. Between stages they double.

    Args:
        inputs: channels before.
        width: channels in the middle.
        stride, shortcut: as for `BasicBlock`.
        stride_on: see `StrideOn`.

    >>> import torch
    >>> Bottleneck(16, 8, stride=2)(torch.rand(1, 16, 8, 8)).shape
    torch.Size([1, 32, 4, 4])
    """

    expansion: ClassVar[int] = 4

    def __init__(
        self,
        inputs: int,
        width: int,
        stride: int,
        shortcut: Shortcut = shortcut_of("B"),  # noqa: B008 - a function, without state
        stride_on: StrideOn = "3x3",
    ) -> None:
        super().__init__()
        check_value("stride_on", stride_on, StrideOn)
        first, second = (stride, 1) if stride_on == "1x1" else (1, stride)
        self.conv1 = nn.Conv2d(inputs, width, 1, first, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, second, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(4 * width)
        self.relu3 = nn.ReLU()
        self.shortcut = shortcut(inputs, 4 * width, stride)

    @property
    def last(self) -> nn.BatchNorm2d:
        """The module whose output is the branch's."""
        return self.norm3

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h2 w2"]:
        """Return relu(f(x) + shortcut(x)), of a plain block relu(f(x))."""
        y = self.relu1(self.norm1(self.conv1(x)))
        y = self.relu2(self.norm2(self.conv2(y)))
        y = self.norm3(self.conv3(y))
        out: Tensor = self.relu3(y if self.shortcut is None else y + self.shortcut(x))
        return out


Block = type[BasicBlock] | type[Bottleneck]

BLOCKS: Mapping[str, Block] = MappingProxyType({"basic": BasicBlock, "bottleneck": Bottleneck})
"""The kinds of blocks by name."""


def block_of(name: str) -> Block:
    """Return the block of that name; raises `InputError` for one that is not in `BLOCKS`.

    >>> block_of("bottleneck").expansion
    4
    """
    if name not in BLOCKS:
        raise unknown("block", name, BLOCKS)
    return BLOCKS[name]


def residual_stage(
    block: Block,
    count: int,
    inputs: int,
    width: int,
    stride: int,
    *,
    shortcut: Shortcut,
    stride_on: StrideOn = "3x3",
) -> nn.Sequential:
    """Return `count` blocks, the first of which changes channels and size.

    Raises `InputError` for a `stride_on` that is none, and for one of basic blocks.

    >>> len(residual_stage(BasicBlock, 2, 16, 32, 2, shortcut=shortcut_of("A")))
    2
    """
    if block.expansion == 1 and stride_on != "3x3":
        raise InputError("stride_on is for bottlenecks, which have a 1×1 and a 3×3; leave it out")
    outputs = width * block.expansion
    rest = [block(outputs, width, 1, shortcut, stride_on) for _ in range(count - 1)]
    return nn.Sequential(block(inputs, width, stride, shortcut, stride_on), *rest)
