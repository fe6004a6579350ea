"""The mean of several states of one network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from saddlepoint.errors import InputError


def averaged(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of states of one network, summed in float64; what is no floating-point number
    is the last one's.

    Vaswani et al. 2017, arXiv:1706.03762, take the last five checkpoints of a training.
    Raises `InputError` where there is none, or they are of different networks.

    >>> averaged([{"w": torch.tensor([1.0])}, {"w": torch.tensor([2.0])}])
    {'w': tensor([1.5000])}
    """
    if not states:
        raise InputError("there is no checkpoint to average; give at least one")
    last = states[-1]
    for state in states:
        for name in last.keys() | state.keys():
            shapes = [tuple(each[name].shape) if name in each else None for each in (state, last)]
            if shapes[0] != shapes[1]:
                raise InputError(
                    f"{name} is {shapes[0]} in one checkpoint and {shapes[1]} in another; average"
                    " those of one network"
                )
    return {
        name: torch.stack([state[name].double() for state in states]).mean(0).to(value.dtype)
        if value.is_floating_point()
        else value.clone()
        for name, value in last.items()
    }
