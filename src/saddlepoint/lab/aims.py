"""What a targeted attack aims at, and what a model answers."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from saddlepoint.lab.climbs import logits_of
from saddlepoint.streams import Keys


def answers(
    model: nn.Module, images: Float[Tensor, "n ..."]
) -> tuple[Int64[Tensor, " n"], Float[Tensor, " n"]]:
    """Return the class that the model answers, and by how much its logit is the largest.

    >>> answers(nn.Flatten(), torch.tensor([[0.5, 0.25, 0.0]]))
    (tensor([0]), tensor([0.2500]))
    """
    logits = logits_of(model, images)
    top = logits.topk(2, dim=1)
    return top.indices[:, 0].to(images.device), (top.values[:, 0] - top.values[:, 1])


def other_classes(answered: Int64[Tensor, " n"], classes: int) -> Int64[Tensor, "n others"]:
    """Return every class but the given one, in ascending order.

    >>> other_classes(torch.tensor([1, 0]), 3)
    tensor([[0, 2],
            [1, 2]])
    """
    each = torch.arange(classes - 1, device=answered.device).expand(len(answered), -1)
    return each + (each >= answered[:, None])


def random_classes(answered: Int64[Tensor, " n"], classes: int, seed: int) -> Int64[Tensor, " n"]:
    """Return one other class for each, uniform; the draw belongs to the row.

    >>> random_classes(torch.tensor([1, 1, 1]), 2, seed=0)
    tensor([0, 0, 0])
    """
    keys = Keys(seed, torch.arange(len(answered), device=answered.device))
    drawn = (keys.uniform((1,)).squeeze(1) * (classes - 1)).long()
    return drawn + (drawn >= answered)
