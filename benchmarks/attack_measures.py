"""How `attacks.py` measures: processor time, the bare loop of the same passes, memory at the peak."""

from __future__ import annotations

import ctypes
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from saddlepoint.attacks import AttackResult


def replay(
    run: Callable[[], object], result: AttackResult, model: nn.Module, images: Tensor, repeats: int
) -> float:
    """Return the seconds of the passes that `run` makes, with nothing around them."""
    seen: list[tuple[int, bool]] = []
    hook = model.register_forward_pre_hook(
        lambda _, inputs: seen.append((len(inputs[0]), inputs[0].requires_grad))
    )
    run()
    hook.remove()
    graded = sum(rows for rows, grad in seen if grad)
    each = float(result.backwards.sum()) / max(graded, 1)  # backward passes of a forward
    times = []
    for _ in range(repeats):
        due = 0.0
        began = now()
        for rows, grad in seen:
            x = (
                images.repeat(-(-rows // len(images)), 1, 1, 1)[:rows]
                if rows > len(images)
                else images[:rows]
            )
            if not grad:
                with torch.no_grad():
                    model(x)
                continue
            due += each
            bare_pass(model, x, int(due + 0.5))
            due -= int(due + 0.5)
        times.append(now() - began)
    return statistics.median(times)


def bare_pass(model: nn.Module, x: Tensor, backwards: int = 1) -> None:
    x = x.detach().requires_grad_()
    logits = model(x)
    total = logits.sum()
    for _ in range(backwards):  # one after the other: on a processor faster than batched
        torch.autograd.grad(total, x, retain_graph=backwards > 1)


def peak(run: Callable[[], object]) -> float:
    """Return the bytes that `run` needs at its peak, measured in a fork; NaN but on Linux."""
    if sys.platform != "linux":
        return float("nan")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        run()  # convolutions keep what they compiled for each batch size
        libc = ctypes.CDLL(None)
        libc.mallopt(-3, 65536)  # M_MMAP_THRESHOLD: large blocks go back at once
        libc.malloc_trim(0)
        before = resident("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")
        run()
        os.write(write, str(resident("VmHWM") - before).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return float(answer or "nan")  # the child died


def resident(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def now() -> float:
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def mean(values: Tensor) -> float:
    return float(values.double().mean())
