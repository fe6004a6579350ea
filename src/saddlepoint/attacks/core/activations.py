"""What the units of a network get before their activation: read by hooks while a pass is made."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn.modules import activation

_LINEAR = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
# Attention is in torch's file of activations, and takes no one tensor.
_ACTIVATIONS = tuple(
    each
    for name, each in vars(activation).items()
    if name in activation.__all__ and each is not nn.MultiheadAttention
)


@contextlib.contextmanager
def pre_activations(model: nn.Module) -> Iterator[list[Tensor]]:
    """Fill a list with what each activation gets, (m, …), in the order of a pass; who makes the pass
    clears it before.

    Activations are the modules of `torch.nn`. Where a network calls functions instead, it is what
    its linear layers and convolutions return, the last apart. The hooks are gone on exit, and the
    gradient flows through what they read.

    >>> import torch
    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> with pre_activations(net) as seen:
    ...     _ = net(torch.zeros(1, 2))
    >>> [tuple(each.shape) for each in seen], len(net[1]._forward_pre_hooks)
    ([(1, 3)], 0)
    """
    seen: list[Tensor] = []

    def read(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        # A copy: an activation may write its result in the place of what it got.
        seen.append(inputs[0].clone())

    def returned(_: nn.Module, __: object, output: Tensor) -> None:
        seen.append(output.clone())

    acting = [module for module in model.modules() if isinstance(module, _ACTIVATIONS)]
    linear = [module for module in model.modules() if isinstance(module, _LINEAR)]
    handles = [module.register_forward_pre_hook(read) for module in acting]
    if not acting:
        handles = [module.register_forward_hook(returned) for module in linear[:-1]]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
