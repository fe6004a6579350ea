"""What the tests on CUDA share: the device, networks on it, and a mode in which waiting raises."""

from __future__ import annotations

import contextlib

import torch
from networks import conv_case

DEVICE = torch.device("cuda")


def on_both(count=16, dtype=torch.float64, wrong=3):
    """The network of `conv_case` on the CPU and on the device, with its images and labels."""
    net, images, labels = conv_case(count, dtype, wrong)
    there, _, _ = conv_case(count, dtype, wrong)
    return net, there.to(DEVICE), images, labels


@contextlib.contextmanager
def no_waiting():
    """Raise where the host waits for the device."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@contextlib.contextmanager
def deterministic():
    """Have torch choose algorithms that give the same bits every time."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
