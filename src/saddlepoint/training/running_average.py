"""What every running average of the weights has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn


class RunningAverage(ABC):
    """Averages of every floating-point entry of a model's state; other entries are copied.

    A subclass says by what share of the way each update moves them. Until the first update the
    state is the model's first one.

    Args:
        model: whose state is averaged.

    >>> class Halfway(RunningAverage):
    ...     def share(self):
    ...         return 0.5
    >>> net = nn.Linear(1, 1, bias=False)
    >>> _ = net.weight.data.fill_(0.0)
    >>> average = Halfway(net)
    >>> _ = net.weight.data.fill_(1.0)
    >>> average.update(net)
    >>> average.updates, average.state["weight"]
    (1, tensor([[0.5000]]))
    """

    def __init__(self, model: nn.Module) -> None:
        self.updates = 0
        self.state = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @abstractmethod
    def share(self) -> float:
        """Return how far update number `updates` moves towards the model, in (0, 1]."""

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the averages towards the model's present state."""
        self.updates += 1
        share = self.share()
        for name, value in model.state_dict().items():
            average = self.state[name]
            if average.is_floating_point() and share < 1:
                average.lerp_(value, share)
            else:
                average.copy_(value)

    def load(self, state: Mapping[str, Tensor], updates: int) -> None:
        """Take over the averages of a checkpoint."""
        self.updates = updates
        for name, value in state.items():
            self.state[name].copy_(value)
