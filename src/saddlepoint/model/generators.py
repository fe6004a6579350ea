"""The generators that a model can draw from: forked, seeded, watched and put back."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn


@contextlib.contextmanager
def own_random_state(
    device: torch.device, seed: int, model: nn.Module | None = None
) -> Iterator[Callable[[], bool]]:
    """Fork the generators that the model can reach, seed the global ones, and put all of them back.

    These are torch's, NumPy's and Python's own, and those that the model holds as attributes, which
    go on from where they are. Yields what says whether any of them was drawn from.

    >>> with own_random_state(torch.device("cpu"), 0) as drawn:
    ...     before, first, after = drawn(), torch.rand(1), drawn()
    >>> with own_random_state(torch.device("cpu"), 0):
    ...     bool(first == torch.rand(1)), before, after
    (True, False, True)
    """
    cuda = [device.index or 0] if device.type == "cuda" else []
    torches = [torch.default_generator, *(torch.cuda.default_generators[i] for i in cuda)]
    held: list[Any] = [*torches, np.random, random, *_own(model)]
    before = [_state(each) for each in held]
    try:
        for generator in torches:
            generator.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002 - it is what foreign code draws from
        random.seed(seed)
        started = [_state(each) for each in held]
        yield lambda: any(
            not _same(_state(each), state) for each, state in zip(held, started, strict=True)
        )
    finally:
        for each, state in zip(held, before, strict=True):
            _put_back(each, state)


_KINDS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)


def _own(model: nn.Module | None) -> list[Any]:
    modules = () if model is None else model.modules()
    return [each for m in modules for each in vars(m).values() if isinstance(each, _KINDS)]


def _state(generator: Any) -> Any:
    """Return the state of a generator, or of one of the modules that have a global one."""
    if hasattr(generator, "getstate"):
        return generator.getstate()
    if hasattr(generator, "get_state"):
        return generator.get_state()
    return generator.bit_generator.state


def _put_back(generator: Any, state: Any) -> None:
    if hasattr(generator, "getstate"):
        generator.setstate(state)
    elif hasattr(generator, "set_state"):
        generator.set_state(state)
    else:
        generator.bit_generator.state = state


def _same(a: Any, b: Any) -> bool:
    """Whether two states are equal: numbers and arrays in tuples and dictionaries."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return all(_same(value, b[name]) for name, value in a.items())
    if isinstance(a, tuple):
        return all(_same(x, y) for x, y in zip(a, b, strict=True))
    return bool(np.array_equal(a, b)) if isinstance(a, np.ndarray) else bool(a == b)
