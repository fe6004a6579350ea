"""A gradient of 0 in place of none, for whoever examines models that give none."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn


@contextlib.contextmanager
def connected(model: nn.Module) -> Iterator[None]:
    """Let the output of a model depend on its images by steps that are differentiated, within the block.

    Where it does not, since a part of the model is detached or computed outside torch, the gradient
    is exactly 0 instead of an error: what examines a model then sees a gradient that is hidden like any
    other. Where the output depends on them already nothing changes; nor for a scripted model, which takes
    no hook.

    >>> class Outside(nn.Module):
    ...     def forward(self, x):
    ...         return x.detach().flatten(1)
    >>> net, x = Outside(), torch.ones(1, 2, requires_grad=True)
    >>> with connected(net):
    ...     torch.autograd.grad(net(x).sum(), x)[0]
    tensor([[0., 0.]])
    >>> net(x).requires_grad
    False
    """
    if isinstance(model, torch.jit.ScriptModule):
        yield
        return
    handle = model.register_forward_hook(_with_zero)
    try:
        yield
    finally:
        handle.remove()


def _with_zero(model: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
    x = args[0] if args else None
    if not (isinstance(x, Tensor) and isinstance(output, Tensor)):
        return output
    if not (x.requires_grad and torch.is_grad_enabled()) or output.requires_grad:
        return output
    if output.shape[:1] != x.shape[:1]:
        return output
    # A 0 for each image, whatever is in the others.
    zero = (0 * x.nan_to_num(0, 0, 0)).flatten(1).sum(1).to(output)
    return output + zero.reshape(-1, *[1] * (output.dim() - 1))
