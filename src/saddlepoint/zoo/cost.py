"""What a forward pass of a network costs, counted without computing one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from saddlepoint.errors import InputError
from saddlepoint.zoo.registry import ModelInfo


@dataclass(frozen=True)
class ModelCost:
    """The weights of a network, and the multiply-adds of one image.

    >>> str(ModelCost(269_722, 40_551_040))
    '0.27 M weights, 41 M multiply-adds'
    """

    weights: int
    multiply_adds: int

    def __str__(self) -> str:
        return f"{_millions(self.weights)} weights, {_millions(self.multiply_adds)} multiply-adds"


def model_cost(info: ModelInfo, classes: int = 10, channels: int = 3, size: int = 32) -> ModelCost:
    """Return what a pass of one image costs; nothing is computed, and no memory is taken.

    Raises `InputError` for a network of a plug-in that cannot be built or passed so.

    >>> from saddlepoint.zoo import ZOO
    >>> model_cost(ZOO["resnet20"]).weights
    269722
    """
    try:
        # Fused attention counts as nothing.
        math, counter = sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False)
        with torch.device("meta"), torch.no_grad(), math, counter:
            network = info.build(classes=classes, channels=channels, size=size).eval()
            network(torch.zeros(1, channels, size, size))
    except Exception as error:
        raise InputError(f"the cost of {info.name} cannot be counted: {error}") from error
    weights = sum(each.numel() for each in network.parameters())
    return ModelCost(weights, counter.get_total_flops() // 2)


def _millions(count: int) -> str:
    return f"{count / 1e6:.2g} M" if count < 1e8 else f"{count / 1e6:,.0f} M"
