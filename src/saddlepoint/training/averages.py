"""Running averages of the weights: exponential, which helps robust accuracy by several points, and
equal over the last part of training.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from saddlepoint.errors import InputError
from saddlepoint.model import Guard


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


class Swa(RunningAverage):
    """The equal average of every floating-point entry of a model's state over its updates; other
    entries are copied.

    The statistics of BatchNorm are not those of the averaged weights: call `refresh_batch_norm`
    once the average is in the model. Until the first update the state is the model's first one.

    Args:
        model: whose state is averaged.
        start: the share of training after which updates are due; see `due`.

    Raises `InputError` for a start outside [0, 1).

    Reference: Izmailov, Podoprikhin, Garipov, Vetrov and Wilson 2018, arXiv:1803.05407.

    >>> net = nn.Linear(1, 1, bias=False)
    >>> swa = Swa(net, start=0.5)
    >>> for epoch, weight in enumerate((5.0, 1.0, 2.0, 6.0), start=1):
    ...     _ = net.weight.data.fill_(weight)
    ...     if swa.due(epoch / 4):
    ...         swa.update(net)
    >>> swa.updates, swa.state["weight"]
    (2, tensor([[4.]]))
    """

    def __init__(self, model: nn.Module, start: float = 0.75) -> None:
        if not 0 <= start < 1:
            raise InputError(f"start is {start}; give a share of training in [0, 1)")
        super().__init__(model)
        self.start = start

    def due(self, progress: float) -> bool:
        """Return whether to update when the share `progress` of training is done: after `start`."""
        return progress > self.start + 1e-9  # whichever way 3/10 of training is rounded

    def share(self) -> float:
        """Return the weight of the present state in this update: that of each one before it."""
        return 1 / self.updates


def refresh_batch_norm(
    model: nn.Module, batches: Iterable[Float[Tensor, "n ..."]], *, seed: int = 0
) -> None:
    """Replace the statistics of every BatchNorm by those of `batches` under the present weights.

    The statistics are the means over the batches, all of one weight (torch's `momentum=None`). The
    model runs in train mode; afterwards every flag, momentum and other buffer is as before, and
    after an exception the statistics too. Without BatchNorm nothing is done.

    Args:
        model: from images in [0, 1] to logits.
        batches: training images (n, …), a batch at a time, on any device.
        seed: of dropout and noise; torch's global random state is left alone.

    Raises `InputError` where there is no batch, and for one that the model cannot take.

    >>> net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(1))
    >>> refresh_batch_norm(net, [torch.tensor([[0.0], [2.0]]), torch.tensor([[2.0], [4.0]])])
    >>> net[1].running_mean, net[1].running_var
    (tensor([2.]), tensor([2.]))
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    if not norms:
        return
    momenta, count = [norm.momentum for norm in norms], 0
    # The guard puts everything back, BatchNorm's statistics too: they are carried out of it.
    with Guard(model, 0, mode="train", seed=seed) as guard:
        model.train()
        try:
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum = None  # the cumulative average
            for images in batches:
                guard.logits(images.to(guard.device))
                count += 1
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum
        if not count:
            raise InputError("there are no batches to take BatchNorm's statistics from; give one")
        fresh = [buffer.clone() for norm in norms for buffer in norm.buffers()]
    with torch.no_grad():
        for buffer, value in zip((b for n in norms for b in n.buffers()), fresh, strict=True):
            buffer.copy_(value)
