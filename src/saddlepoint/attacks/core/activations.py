"""What the units of a network get before their activation: read by hooks while a pass is made."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn
from torch.nn.modules import activation

_LINEAR = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
# Without what is in torch's file of activations and makes probabilities, or is a layer of its own.
_ACTIVATIONS = tuple(
    each
    for name, each in vars(activation).items()
    if name in activation.__all__
    and each not in (nn.MultiheadAttention, nn.Softmax, nn.Softmin, nn.LogSoftmax, nn.Softmax2d)
)


@contextlib.contextmanager
def pre_activations(model: nn.Module) -> Iterator[list[Tensor]]:
    """Fill a list with what each activation gets, (m, …), in the order of a pass; who makes the pass
    clears it before.

    Activations are the modules of `torch.nn`. Where a network calls functions instead, it is what
    its linear layers and convolutions return, the last one defined apart. The hooks are gone on exit,
    and the gradient flows through what they read.

    >>> import torch
    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> with pre_activations(net) as seen:
    ...     _ = net(torch.zeros(1, 2))
    >>> [tuple(each.shape) for each in seen], len(net[1]._forward_pre_hooks)
    ([(1, 3)], 0)
    """
    seen: list[Tensor] = []

    def read(_: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        found = [each for each in (*inputs, *named.values()) if isinstance(each, Tensor)]
        # A copy: an activation may write its result in the place of what it got.
        seen.extend(each.clone() for each in found[:1])

    def returned(_: nn.Module, __: object, output: Tensor) -> None:
        seen.append(output.clone())

    acting = [module for module in model.modules() if isinstance(module, _ACTIVATIONS)]
    linear = [module for module in model.modules() if isinstance(module, _LINEAR)]
    handles = [module.register_forward_pre_hook(read, with_kwargs=True) for module in acting]
    if not acting:
        handles = [module.register_forward_hook(returned) for module in linear[:-1]]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
