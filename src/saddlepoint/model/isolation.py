"""What a guard holds still: random state, flags and parameters of the model, and the precision."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal, NamedTuple

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
def full_precision(device: torch.device, wanted: bool = True) -> Iterator[None]:
    """Turn autocast and every coarser form of float32 off, as the judge needs, and put them back.

    These are TensorFloat-32 on CUDA, and what oneDNN may take in place of float32 on a CPU. Where
    it is not `wanted`, everything stays as it is.

    >>> torch.set_float32_matmul_precision("medium")
    >>> with full_precision(torch.device("cpu")):
    ...     torch.is_autocast_enabled("cpu"), torch.get_float32_matmul_precision()
    (False, 'highest')
    >>> torch.get_float32_matmul_precision()
    'medium'
    >>> torch.set_float32_matmul_precision("highest")
    """
    if not wanted:
        yield
        return
    before = [(switch, switch.get()) for switch in _switches()]
    try:
        for switch, _ in before:
            switch.set(switch.exact)
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        for switch, value in before:
            switch.set(value)


class _Switch(NamedTuple):
    get: Callable[[], Any]
    set: Callable[[Any], None]
    exact: Any


def _switches() -> list[_Switch]:
    """Return the switches of float32's precision, in the order in which they are to be set.

    Newer releases of torch have one `fp32_precision` per operation beside the older switches, and
    raise where the two disagree: both are set, the older first, since it sets some newer ones too.
    Where they disagree already, the older ones stay as they are.
    """
    older = [
        _Switch(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest"),
        _of(torch.backends.cudnn, "allow_tf32", False),
    ]
    libraries = (torch.backends.cuda, torch.backends.cudnn, torch.backends.mkldnn)
    operations = [
        getattr(library, name, None) for library in libraries for name in ("matmul", "conv", "rnn")
    ]
    newer = [
        _of(place, "fp32_precision", "ieee")
        for place in (torch.backends, *libraries, *operations)
        if hasattr(place, "fp32_precision")
    ]
    return [each for each in older if _agrees(each)] + newer


def _of(backend: Any, name: str, exact: Any) -> _Switch:
    return _Switch(partial(getattr, backend, name), partial(setattr, backend, name), exact)


def _agrees(switch: _Switch) -> bool:
    try:
        switch.get()
    except RuntimeError:
        return False
    return True
