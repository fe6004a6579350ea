"""What was computed before a move or a new name is found again: identities are public and frozen.

`golden/` was written by an earlier version: the configuration of every component, and the folders of
the commands in `golden/commands.txt`.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from saddlepoint.cli import run

GOLDEN = Path(__file__).parent / "golden"
COMMANDS = (GOLDEN / "commands.txt").read_text().splitlines()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda line: line.rpartition(" ")[2])
def test_a_finished_run_is_read_and_not_computed_again(command, tmp_path, monkeypatch):
    folder = tmp_path / "golden"
    shutil.copytree(GOLDEN, folder)
    monkeypatch.chdir(folder)
    before = contents(folder)
    assert run(command.split()) == 0
    assert contents(folder) == before


def contents(folder):
    """The results, which say how many seconds they took; not the figures, drawn from them."""
    kinds = (".json", ".parquet", ".npz", ".safetensors", ".jsonl", ".csv")
    paths = (path for path in folder.rglob("*") if path.suffix in kinds)
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}
