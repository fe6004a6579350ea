"""The generators that a model can draw from: forked, seeded, watched and put back."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


@contextlib.contextmanager
def own_random_state(
    device: torch.device, seed: int, model: nn.Module | None = None
) -> Iterator[Generators]:
    """Fork the generators that the model can reach, seed the global ones, and put all of them back.

    These are torch's, NumPy's and Python's own, and those that the model holds as attributes, which
    go on from where they are.

    >>> with own_random_state(torch.device("cpu"), 0) as generators:
    ...     before, first, after = generators.drawn(), torch.rand(1), generators.drawn()
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
        yield Generators(held)
    finally:
        for each, state in zip(held, before, strict=True):
            _put_back(each, state)


class Generators:
    """Generators, and where each of them was at the beginning.

    >>> generators = Generators([random.Random(0), torch.Generator()])
    >>> generators.drawn(), list(generators.states())
    (False, [])
    """

    def __init__(self, held: Sequence[Any] = ()) -> None:
        self._held = held
        self._started = [_state(each) for each in held]

    def drawn(self) -> bool:
        """Return whether any of them was drawn from."""
        return any(True for _ in self._moved())

    def seed(self, seed: int) -> None:
        """Seed all of them anew, so that what was drawn before tells nothing of what comes.

        >>> mine = random.Random(3)
        >>> Generators([mine]).seed(0)
        >>> mine.random() == random.Random(0).random()
        True
        """
        for each in self._held:
            if isinstance(each, torch.Generator):
                each.manual_seed(seed)
            elif isinstance(each, np.random.Generator):
                bits = each.bit_generator
                bits.state = type(bits)(seed).state
            else:
                each.seed(seed)

    def states(self) -> dict[str, Tensor]:
        """Return where those are that were drawn from, by their numbers."""
        return {
            str(number): state.clone() if isinstance(state, Tensor) else _written(state)
            for number, state in self._moved()
        }

    def go_on_from(self, states: Mapping[str, Tensor]) -> None:
        """Put each where `states` says.

        >>> first, second = random.Random(0), random.Random(0)
        >>> generators, drawn = Generators([first]), second.random()
        >>> _ = first.random()
        >>> Generators([second]).go_on_from(generators.states())
        >>> first.random() == second.random()
        True
        """
        for number, state in states.items():
            generator = self._held[int(number)]
            own = isinstance(generator, torch.Generator)
            _put_back(generator, state if own else _read(state))

    def _moved(self) -> Iterator[tuple[int, Any]]:
        for number, (each, before) in enumerate(zip(self._held, self._started, strict=True)):
            if not _same(state := _state(each), before):
                yield number, state


def _written(state: Any) -> Tensor:
    """Return the text of a state: numbers, strings and arrays in tuples and dictionaries."""
    text = json.dumps(state, default=lambda a: {"array": a.tolist(), "dtype": a.dtype.name})
    return torch.tensor(list(text.encode()), dtype=torch.uint8)


def _read(text: Tensor) -> Any:
    return _tupled(json.loads(bytes(text.tolist())))


def _tupled(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"array", "dtype"}:
            return np.array(value["array"], dtype=value["dtype"])
        return {key: _tupled(each) for key, each in value.items()}
    return tuple(map(_tupled, value)) if isinstance(value, list) else value


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
