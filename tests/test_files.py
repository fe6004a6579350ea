"""A write is whole or it did not happen, also when the disk is full; the old file stays."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from saddlepoint.errors import InputError, OutputError
from saddlepoint.files import fingerprint, write, write_json
from saddlepoint.reading import read_json

FULL_DISK = """
import resource, sys
from pathlib import Path
from saddlepoint.errors import OutputError
from saddlepoint.files import write
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write(Path(sys.argv[1]), b"x" * 100_000)
except OutputError as error:
    print(error)
"""


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path):
    target = write(tmp_path / "result.json", "old")
    run = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(target)], capture_output=True, text=True, check=True
    )
    assert run.stdout.startswith(f"cannot write {target}: ")
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]


def test_an_interrupted_write_leaves_no_temporary_file(tmp_path, monkeypatch):
    target = write(tmp_path / "a", "old")

    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(target, "new")
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_folder_that_is_a_file_is_an_output_error(tmp_path):
    write(tmp_path / "file", "kept")
    with pytest.raises(OutputError, match=r"cannot write .*file/below"):
        write(tmp_path / "file" / "below", "x")
    assert (tmp_path / "file").read_text() == "kept"


def test_a_target_that_is_a_folder_is_an_output_error(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        write(tmp_path / "folder", "x")
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_folders_are_made_and_files_replaced(tmp_path):
    path = tmp_path / "a" / "b" / "c.txt"
    write(path, "one")
    assert write(path, b"two") == path
    assert path.read_bytes() == b"two"


def test_json_survives_and_refuses_what_json_cannot_hold(tmp_path):
    value = {"name": "ε-ball", "values": [0.1, None, True]}
    assert read_json(write_json(tmp_path / "a.json", value)) == value
    with pytest.raises(ValueError):
        write_json(tmp_path / "b.json", {"x": float("nan")})
    assert not (tmp_path / "b.json").exists()


def test_damaged_and_missing_json_are_input_errors(tmp_path):
    write(tmp_path / "a.json", json.dumps({"a": 1})[:-2])
    with pytest.raises(InputError, match=r"a\.json is not valid JSON"):
        read_json(tmp_path / "a.json")
    write(tmp_path / "b.json", b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"b\.json is not valid JSON"):
        read_json(tmp_path / "b.json")
    with pytest.raises(InputError, match=r"cannot read .*c\.json"):
        read_json(tmp_path / "c.json")


def test_fingerprints_tell_contents_apart_but_not_orders():
    assert fingerprint({"a": 1, "b": [1, 2]}) == fingerprint({"b": [1, 2], "a": 1})
    assert fingerprint({"b": [1, 2]}) != fingerprint({"b": [2, 1]})
    assert fingerprint(b"x") != fingerprint(b"y")
    assert len(fingerprint(b"x")) == 16
