"""Every benchmark finds what it uses of the library, in functions too; peers are not imported."""

from __future__ import annotations

import ast
import importlib
from importlib.util import find_spec
from pathlib import Path

import pytest

FILES = sorted((Path(__file__).parents[1] / "benchmarks").glob("*.py"))


def imported(tree):
    """Yield (module, name) of what is imported from the library."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("saddlepoint"):
            yield from ((node.module, each.name) for each in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_a_benchmark_imports_of_the_library_is_there(path):
    found = list(imported(ast.parse(path.read_text(encoding="utf-8"))))
    assert found or path.stem == "attack_peers"  # which is of the peers alone
    for module, name in found:
        there = hasattr(importlib.import_module(module), name)
        assert there or find_spec(f"{module}.{name}") is not None, (module, name)
