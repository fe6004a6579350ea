"""An exponential moving average of the weights, which helps robust accuracy by several points."""

from __future__ import annotations

from torch import nn

from saddlepoint.training.running_average import RunningAverage


class Ema(RunningAverage):
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
        super().__init__(model)
        self.decay = decay

    def share(self) -> float:
        """Return the weight of the present state in this update."""
        return 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
