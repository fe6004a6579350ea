"""An exponential moving average of the weights, which helps robust accuracy by several points."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class Ema:
    """Running averages of every floating-point entry of a model's state; other entries are copied.

    The decay warms up as (1 + t)/(10 + t), so that the random first weights are soon forgotten.
    BatchNorm's running statistics are averaged with the weights, and follow them closely enough to
    need no refreshing; those of an equal average do not, see `Swa`.

    Args:
        model: whose state is averaged.
        decay: the weight of the past, for instance 0.999.

    >>> net = nn.Linear(1, 1, bias=False)
    >>> _ = net.weight.data.fill_(0.0)
    >>> ema = Ema(net, decay=0.5)
    >>> _ = net.weight.data.fill_(1.0)
    >>> ema.update(net)
    >>> ema.state["weight"]
    tensor([[0.8182]])
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.state = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the averages towards the model's present state."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, value in model.state_dict().items():
            average = self.state[name]
            if average.is_floating_point():
                average.lerp_(value, 1 - decay)
            else:
                average.copy_(value)

    def load(self, state: Mapping[str, Tensor], updates: int) -> None:
        """Take over the averages of a checkpoint."""
        self.updates = updates
        for name, value in state.items():
            self.state[name].copy_(value)
