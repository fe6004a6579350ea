"""These tests need a CUDA device; elsewhere they are skipped, and say so."""

from __future__ import annotations

import os

# Read when cuBLAS is first used: its matrix products then give the same bits every time.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def _needs_cuda():
    if not torch.cuda.is_available():
        pytest.skip("torch finds no CUDA device")
