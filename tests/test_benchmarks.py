"""Every benchmark can be imported: what it uses of the library is still there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "benchmarks"


def test_every_benchmark_is_importable():
    names = sorted(path.stem for path in FOLDER.glob("*.py"))
    code = f"import importlib, sys; sys.path.insert(0, {str(FOLDER)!r})\n" + "\n".join(
        f"importlib.import_module({name!r})" for name in names
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
