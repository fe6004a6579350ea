"""What stands beside a residual branch: the shortcuts A, B and C of He et al. (2016), or nothing."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from types import MappingProxyType

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad

from saddlepoint.errors import unknown

Shortcut = Callable[[int, int, int], nn.Module | None]
"""From inputs, outputs and stride of a block to what its branch is added to; None for nothing."""


class PadShortcut(nn.Module):
    """The shortcut without parameters (option A): every second pixel, new channels zero.

    >>> import torch
    >>> PadShortcut(16, 32, stride=2)(torch.rand(1, 16, 8, 8)).shape
    torch.Size([1, 32, 4, 4])
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.before = (outputs - inputs) // 2
        self.after = outputs - inputs - self.before

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h2 w2"]:
        """Return `x` subsampled, with channels of zeros on both sides of its own."""
        return pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.before, self.after))


class ProjectionShortcut(nn.Sequential):
    """The shortcut with parameters: a 1×1 convolution and a batch normalisation, `conv` and `norm`.

    >>> import torch
    >>> ProjectionShortcut(16, 32, stride=2)(torch.rand(1, 16, 8, 8)).shape
    torch.Size([1, 32, 4, 4])
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
        super().__init__(OrderedDict[str, nn.Module](conv=conv, norm=nn.BatchNorm2d(outputs)))


def _padded(inputs: int, outputs: int, stride: int) -> nn.Module:
    same = inputs == outputs and stride == 1
    return nn.Identity() if same else PadShortcut(inputs, outputs, stride)


def _projected_where_needed(inputs: int, outputs: int, stride: int) -> nn.Module:
    same = inputs == outputs and stride == 1
    return nn.Identity() if same else ProjectionShortcut(inputs, outputs, stride)


def _nothing(inputs: int, outputs: int, stride: int) -> None:
    return None


SHORTCUTS: Mapping[str, Shortcut] = MappingProxyType(
    {
        "A": _padded,
        "B": _projected_where_needed,
        "C": ProjectionShortcut,
        "none": _nothing,
    }
)
"""By the paper's letters: A without parameters, B projected where the shape changes, C projected in
every block; "none" makes the plain net.

It is sometimes said that B costs more, so that the authors took C. In the paper C has more
parameters and is only slightly better than B, as B is than A; the authors use A on CIFAR and B for
ImageNet.
"""


def shortcut_of(name: str) -> Shortcut:
    """Return the shortcut of that name; raises `InputError` for one that is not in `SHORTCUTS`.

    >>> shortcut_of("A")(16, 16, 1)
    Identity()
    >>> shortcut_of("D")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: unknown shortcut 'D'; (known: A, B, C, none)
    """
    if name not in SHORTCUTS:
        raise unknown("shortcut", name, SHORTCUTS)
    return SHORTCUTS[name]
