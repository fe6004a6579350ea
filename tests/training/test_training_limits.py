"""The limits that benchmarks/training.py compares with are the convolutions that a step makes."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
NAMES = [
    "standard", "PGD-10", "FGSM-RS", "N-FGSM", "Free-8", "YOPO-5-3", "TRADES", "MART",
    "AWP, PGD-10", "TRADES-YOPO-3-4",
]  # fmt: skip


class Convolutions(TorchDispatchMode):
    """Counts forward convolutions, and their gradients in the input and in the weights."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if operation is torch.ops.aten.convolution.default:
            self.counts["forward"] += 1
        if operation is torch.ops.aten.convolution_backward.default:
            of_input, of_weight, _ = args[-1]
            self.counts.update({"input": of_input, "weights": of_weight})
        return operation(*args, **(kwargs or {}))


def counted(run: Callable[[], object]) -> Counter[str]:
    with Convolutions() as convolutions:
        run()
    return convolutions.counts


@pytest.fixture(scope="module")
def passes() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield importlib.import_module("training_passes")


@pytest.fixture(scope="module")
def subject(passes) -> Any:
    return passes.Subject.of("resnet20", 2, torch.device("cpu"))


def test_every_objective_is_here(passes):
    assert list(passes.objectives()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_limit_has_the_passes_of_its_step(name, passes, subject):
    timed = passes.objectives()[name]
    bare = passes.Bare(subject).row(timed.passes)
    assert counted(passes.step_of(timed, subject)) == counted(bare)
