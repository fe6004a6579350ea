"""The classes that targeted attacks are run towards: every other one, or one at random."""

from __future__ import annotations

import torch
from jaxtyping import Int64
from torch import Tensor

from saddlepoint.streams import Keys


def other_classes(labels: Int64[Tensor, " n"], classes: int) -> Int64[Tensor, "n others"]:
    """Return every class but the given one, in ascending order.

    >>> other_classes(torch.tensor([1, 0]), 3)
    tensor([[0, 2],
            [1, 2]])
    """
    each = torch.arange(classes - 1, device=labels.device).expand(len(labels), -1)
    return each + (each >= labels[:, None])


def random_classes(labels: Int64[Tensor, " n"], classes: int, seed: int) -> Int64[Tensor, " n"]:
    """Return one other class for each, uniform; the draw belongs to the row.

    >>> random_classes(torch.tensor([1, 1, 1]), 2, seed=0)
    tensor([0, 0, 0])
    """
    keys = Keys(seed, torch.arange(len(labels), device=labels.device))
    drawn = (keys.uniform((1,)).squeeze(1) * (classes - 1)).long()
    return drawn + (drawn >= labels)
