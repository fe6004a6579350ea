"""Makes `networks` importable from every folder of tests, and keeps small tests quick."""

from __future__ import annotations

import os
import signal
from pathlib import Path

# Before torch is imported, and for the processes that tests start: the networks are tiny.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# In the background of a shell SIGINT is ignored, and programs that the tests start inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest
import torch
from hypothesis import settings

settings.register_profile("steady", deadline=None, max_examples=50, derandomize=True)
settings.load_profile("steady")

TINY = (
    "threat", "model", "attacks", "defences", "training", "evaluation", "verdict", "reports", "cli",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _one_thread_for_tiny_networks(request):
    """Two threads that wait for each other take longer over a tiny network than one does."""
    if Path(request.node.path).parent.name not in TINY:
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _the_same_networks_every_time():
    """A test that draws a network without a seed would fail once in a hundred runs."""
    torch.manual_seed(0)


LONGEST = (
    "test_docs", "test_study_runner", "test_study_recovery", "test_evaluation_resume",
    "test_examples", "test_entry_points",
)  # fmt: skip


SAMPLED = (
    "attacks", "cli", "data", "defences", "evaluation", "model", "reading", "reports", "threat", "zoo",
)  # fmt: skip
"""Folders whose tests of many cases are sampled: of their cases the quick run takes every fourth."""
MANY = 8
WHOLE = ("test_contract",)  # every attack, always


@pytest.hookimpl(tryfirst=True)  # before cases are deselected by their marks
def pytest_collection_modifyitems(items):
    """Begin with the longest files, since at the end one process would wait for another; and leave
    three quarters of the cases of tests of many cases to the slow run.
    """
    items.sort(key=lambda item: Path(item.path).stem not in LONGEST)
    cases = {}
    for item in items:
        path = Path(item.path)
        quick = hasattr(item, "callspec") and item.get_closest_marker("slow") is None
        if quick and path.parent.name in SAMPLED and path.stem not in WHOLE:
            cases.setdefault((path, item.originalname), []).append(item)
    for several in cases.values():
        for number, item in enumerate(several if len(several) >= MANY else ()):
            if number % 4:
                item.add_marker(pytest.mark.slow)
