"""What a forward pass of a network costs, counted without computing one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from saddlepoint.errors import InputError
from saddlepoint.zoo.generator import Generator
from saddlepoint.zoo.registry import ModelInfo
from saddlepoint.zoo.skeleton import skeletons


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
    """Return what a pass of one image costs, of a generator what making one does; nothing is
    computed, and no memory is taken.

    Raises `InputError` for a network of a plug-in that cannot be built or passed so.

    >>> from saddlepoint.zoo import ZOO
    >>> model_cost(ZOO["resnet20"]).weights
    269722
    """
    try:
        with skeletons():
            network = info.build(classes=classes, channels=channels, size=size).eval()
        with torch.device("meta"):
            takes = (network.latent,) if isinstance(network, Generator) else (channels, size, size)
            return network_cost(network, torch.zeros(1, *takes))
    except Exception as error:
        raise InputError(f"the cost of {info.name} cannot be counted: {error}") from error


def network_cost(network: nn.Module, image: Float[Tensor, "1 ..."]) -> ModelCost:
    """Return what a pass of one image through a network costs.

    >>> network_cost(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), torch.zeros(1, 1, 2, 2))
    ModelCost(weights=10, multiply_adds=8)
    """
    # Fused attention on a CPU counts as nothing.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        network(image)
    weights = sum(each.numel() for each in network.parameters())
    return ModelCost(weights, counter.get_total_flops() // 2)


def _millions(count: int) -> str:
    return f"{count / 1e6:.2g} M" if count < 1e8 else f"{count / 1e6:,.0f} M"
