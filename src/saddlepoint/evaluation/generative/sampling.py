"""Samples of a generator, each a function of (seed, number)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.counts import check_count
from saddlepoint.model import device_of
from saddlepoint.objectives.passes import evaluating
from saddlepoint.streams import Keys
from saddlepoint.zoo import as_generator

ROWS = 512
"""Images in one pass, or in one block of distances."""


def draw_samples(model: nn.Module, count: int, seed: int = 0) -> Float[Tensor, "n c h w"]:
    """Return `count` images of a generator, in evaluation mode, on the CPU.

    z is standard normal; that of sample i depends on (seed, i) alone. Raises `InputError` for a
    model that makes no images.

    >>> from saddlepoint.zoo import MLPGenerator
    >>> net = MLPGenerator(size=4)
    >>> torch.allclose(draw_samples(net, 3), draw_samples(net, 5)[:3])
    True
    """
    generator = as_generator(model)
    check_count("count", count)
    device, found = device_of(model), []
    with evaluating(model), torch.no_grad():
        for start in range(0, count, ROWS):
            ids = torch.arange(start, min(start + ROWS, count), device=device)
            found.append(model(Keys(seed, ids).normal((generator.latent,))).float().cpu())
    return torch.cat(found)
