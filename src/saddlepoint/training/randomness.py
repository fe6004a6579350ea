"""Torch's own generator, which layers such as Dropout draw from: forked, and seeded anew."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def forked_random_state() -> Iterator[None]:
    """Put the state of torch's generators, of every device in use, back after the block.

    >>> before = torch.random.get_rng_state()
    >>> with forked_random_state():
    ...     seed_layers(torch.device("cpu"), 7)
    >>> torch.equal(torch.random.get_rng_state(), before)
    True
    """
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices=devices):
        yield


def seed_layers(device: torch.device, seed: int) -> None:
    """Seed the generators that the layers of a model on `device` draw from.

    >>> with forked_random_state():
    ...     seed_layers(torch.device("cpu"), 7)
    ...     torch.initial_seed()
    7
    """
    # Not torch.manual_seed: it reaches every device, also one that is not forked yet.
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)
