"""How far the layers of a residual or plain network respond: fig. 7 of He et al. (2016)."""

from __future__ import annotations

import contextlib
import itertools
import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.errors import InputError
from saddlepoint.model.held import frozen
from saddlepoint.model.wrapped import plain_modules


@torch.no_grad()
def layer_responses(
    model: nn.Module, images: Float[Tensor, "n c h w"], *, batch_size: int = 256
) -> dict[str, float]:
    """Return the standard deviation of what each 3×3 convolution gives after its batch normalisation,
    before the non-linearity and before the addition, in the order of the layers.

    Over all images, channels and positions together, in evaluation mode. He et al. 2016,
    arXiv:1512.03385, fig. 7: those of residual nets are smaller than those of plain nets, and smaller
    with depth.

    Args:
        model: whose convolutions are followed by an `nn.BatchNorm2d`, as in the nets of this zoo,
            torchvision's and timm's.
        images: in [0, 1], on the model's device.

    Raises `InputError` where there is no such layer.

    >>> from saddlepoint.zoo import build_model
    >>> net = build_model("plain20", classes=10, shape=(3, 8, 8))
    >>> found = layer_responses(net, torch.rand(4, 3, 8, 8))
    >>> len(found), list(found)[:3]
    (19, ['conv', 'stage1.0.conv1', 'stage1.0.conv2'])
    """
    layers = _normalised(model)
    if not layers:
        raise InputError(
            f"the {type(model).__name__} has no 3×3 convolution before a BatchNorm2d to measure"
        )
    sums = {name: torch.zeros(3, dtype=torch.float64) for name in layers}

    with contextlib.ExitStack() as stack:
        for name, norm in layers.items():
            stack.callback(norm.register_forward_hook(_adding(sums[name])).remove)
        stack.enter_context(frozen(model, "eval"))
        for some in torch.split(images, batch_size):
            model(some)
    return {
        name: math.sqrt(max(float(q / n - (s / n) ** 2), 0)) for name, (n, s, q) in sums.items()
    }


def _normalised(model: nn.Module) -> dict[str, nn.Module]:
    """Return the normalisation that is registered next after each 3×3 convolution."""
    leaves = [
        (name, part)
        for name, part in plain_modules(model).items()
        if isinstance(part, nn.Conv2d | nn.BatchNorm2d)
    ]
    return {
        name: after
        for (name, part), (_, after) in itertools.pairwise(leaves)
        if isinstance(part, nn.Conv2d)
        and part.kernel_size == (3, 3)
        and isinstance(after, nn.BatchNorm2d)
    }


def _adding(sums: Tensor) -> Any:
    def add(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        y = output.double()
        sums.add_(
            torch.stack([torch.full_like(y.sum(), y.numel()), y.sum(), y.square().sum()]).cpu()
        )

    return add
