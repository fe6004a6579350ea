"""The kernels that a guarded model may run on: their precision, and whether cuDNN is among them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import nn


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


@contextlib.contextmanager
def differentiable(recurrent: bool) -> Iterator[None]:
    """Keep passes with a gradient off cuDNN where a model is recurrent: there it has no backward of
    an LSTM or GRU in evaluation mode, and torch's own kernels have.

    >>> with torch.enable_grad(), differentiable(recurrent=True):
    ...     torch.backends.cudnn.enabled
    False
    """
    before = torch.backends.cudnn.enabled
    torch.backends.cudnn.enabled = before and not (recurrent and torch.is_grad_enabled())
    try:
        yield
    finally:
        torch.backends.cudnn.enabled = before


def recurrent(model: nn.Module) -> bool:
    """Return whether the model holds an LSTM, GRU or RNN layer, scripted ones too.

    >>> recurrent(nn.Sequential(nn.GRU(1, 1))), recurrent(nn.Linear(1, 1))
    (True, False)
    """
    names = ("LSTM", "GRU", "RNN")
    return any(
        isinstance(m, nn.RNNBase) or getattr(m, "original_name", "") in names
        for m in model.modules()
    )
