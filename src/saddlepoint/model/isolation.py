"""What a guard holds still: random state, flags and parameters of the model, and the precision."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import nn


@contextlib.contextmanager
def own_random_state(device: torch.device, seed: int) -> Iterator[None]:
    """Fork the global generators that the model can reach, and seed the fork.

    >>> with own_random_state(torch.device("cpu"), 0):
    ...     first = torch.rand(1)
    >>> with own_random_state(torch.device("cpu"), 0):
    ...     bool(first == torch.rand(1))
    True
    """
    cuda = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.default_generator.manual_seed(seed)
        for index in cuda:
            torch.cuda.default_generators[index].manual_seed(seed)
        yield


@contextlib.contextmanager
def frozen(model: nn.Module, mode: Literal["eval", "train"]) -> Iterator[None]:
    """Freeze the parameters, set the mode, and put everything back on the way out.

    Flags are restored module by module: `model.train()` would thaw a BatchNorm that the user had
    frozen.

    >>> net = nn.Linear(1, 1)
    >>> with frozen(net, "eval"):
    ...     net.training, net.weight.requires_grad
    (False, False)
    >>> net.training, net.weight.requires_grad
    (True, True)
    """
    flags = [(module, module.training) for module in model.modules()]
    parameters = [(p, p.requires_grad, p.grad) for p in model.parameters()]
    buffers = [(b, b.clone()) for b in model.buffers()] if mode == "train" else []
    try:
        if mode == "eval":
            model.eval()
        for parameter, _, _ in parameters:
            parameter.requires_grad_(False)
        yield
    finally:
        for module, training in flags:
            module.training = training
        for parameter, requires_grad, grad in parameters:
            parameter.requires_grad_(requires_grad)
            parameter.grad = grad
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)


@contextlib.contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Turn autocast and TensorFloat-32 off, as the judge needs, and put both back.

    >>> with full_precision(torch.device("cpu")):
    ...     torch.is_autocast_enabled("cpu")
    False
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.autocast(device.type, enabled=False))
        if device.type == "cuda":
            stack.enter_context(_ieee(torch.backends.cuda.matmul))
            stack.enter_context(_ieee(getattr(torch.backends.cudnn, "conv", torch.backends.cudnn)))
        yield


@contextlib.contextmanager
def _ieee(backend: Any) -> Iterator[None]:
    # Newer releases have `fp32_precision` and object to a mixture with the older `allow_tf32`.
    name, exact = (
        ("fp32_precision", "ieee") if hasattr(backend, "fp32_precision") else ("allow_tf32", False)
    )
    before = getattr(backend, name)
    setattr(backend, name, exact)
    try:
        yield
    finally:
        setattr(backend, name, before)
