"""Models that were exported for one number of images, run on any number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn


def fixed_batch(model: nn.Module) -> int | None:
    """Return the number of images that a model takes, where it or a part of it was exported for
    batches of that size; None where it takes any.

    >>> flat = torch.export.export(nn.Flatten(), (torch.zeros(3, 1, 2),)).module()
    >>> fixed_batch(nn.Sequential(flat)), fixed_batch(nn.Flatten())
    (3, None)
    """
    for module in model.modules():
        if isinstance(module, fx.GraphModule):
            inputs = (node for node in module.graph.nodes if node.op == "placeholder")
            value = next((node.meta.get("val") for node in inputs), None)
            # An axis that may have any length is a torch.SymInt.
            if isinstance(value, Tensor) and value.ndim and type(value.shape[0]) is int:
                return value.shape[0]
    return None


def in_batches(
    run: Callable[[Tensor], Float[Tensor, "b k"]], images: Float[Tensor, "m ..."], size: int
) -> Float[Tensor, "m k"]:
    """Return the outputs (m, k) of `images` (m, …), run in batches of exactly `size`, the last one
    filled up with copies of an image; gradients pass through.

    >>> in_batches(lambda x: x + len(x), torch.zeros(3, 1), 2).tolist()
    [[2.0], [2.0], [2.0]]
    """
    outputs: list[Any] = []
    for start in range(0, max(len(images), 1), size):
        part = images[start : start + size]
        count = len(part)
        # A constant: what is no number there must not reach a gradient.
        filler = part[:1].detach() if count else part.new_zeros(1, *part.shape[1:])
        part = torch.cat([part, filler.expand(size - count, *part.shape[1:])])
        if part.requires_grad:
            part.retain_grad()  # for a model that takes a gradient of its own at its input
        outputs.append(run(part)[:count].clone())  # its buffer may be written into again
    return torch.cat(outputs)
