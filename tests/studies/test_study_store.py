"""The store: whole cells or none, damaged ones found, locks freed by the system."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from saddlepoint.errors import InputError, OutputError
from saddlepoint.studies import Store

A = "0123456789abcdef"
PLAN = {"cells": [], "places": []}


@pytest.fixture
def store(tmp_path):
    return Store.claim(tmp_path / "s", {"name": "x"}, PLAN)


def published(store, address=A, content=b"weights"):
    store.work(address).mkdir(parents=True)
    (store.work(address) / "w.bin").write_bytes(content)
    store.publish(address, {"result": 1})


def test_a_cell_is_missing_then_finished(store):
    assert store.health(A) == "missing"
    published(store)
    assert store.health(A) == "finished"
    assert store.record(A)["result"] == 1
    assert not store.work(A).exists()


@pytest.mark.parametrize(
    "how",
    [
        "changed",
        "cut",
        "gone",
        "record gone",
        "record cut",
        "record other",
        "record list",
        "number",
        "shape",
    ],
)
def test_damage_is_found(store, how):
    published(store)
    file, record = store.cell(A) / "w.bin", store.cell(A) / "cell.json"
    {
        "changed": lambda: file.write_bytes(b"weighty"),
        "cut": lambda: file.write_bytes(b"weight"),
        "gone": file.unlink,
        "record gone": record.unlink,
        "record cut": lambda: record.write_text(record.read_text()[:20]),
        "record other": lambda: record.write_text(
            json.dumps({**store.record(A), "address": "f" * 16})
        ),
        "record list": lambda: record.write_text("[]"),
        "number": lambda: record.write_text(
            record.read_text().replace('"result": 1', '"result": 2')
        ),
        "shape": lambda: record.write_text(json.dumps({**store.record(A), "files": {}})),
    }[how]()
    assert store.health(A) == "damaged"
    first = store.set_aside(A)
    assert first.exists()
    assert store.health(A) == "missing"
    published(store)
    assert store.health(A) == "finished"
    assert store.set_aside(A) != first


def test_a_cell_is_claimed_by_one_process_and_freed_when_it_is_killed(store):
    code = (
        "import sys, time; from pathlib import Path; from saddlepoint.studies import Store\n"
        f"with Store(Path({str(store.root)!r})).claimed({A!r}) as mine:\n"
        "    print(mine, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "True\n"
        with store.claimed(A) as mine:
            assert not mine
        with store.claimed("f" * 16) as mine:
            assert mine
        other.kill()
    with store.claimed(A) as mine:
        assert mine


def test_the_error_of_a_failed_cell_is_kept_until_it_succeeds(store):
    assert store.failure(A) is None
    store.fail(A, "label", "it broke")
    assert store.failure(A) == "it broke"
    published(store)
    assert store.failure(A) is None


def test_a_store_of_another_format_or_study_is_refused(store):
    record = json.loads((store.root / "study.json").read_text())
    with pytest.raises(InputError, match="holds the study 'x', not 'y'; choose another folder"):
        Store.claim(store.root, {"name": "y"}, PLAN)
    (store.root / "study.json").write_text(
        json.dumps({**record, "format": 0, "saddlepoint": "0.0.1"})
    )
    with pytest.raises(
        InputError, match=r"format 0 by saddlepoint 0.0.1; this one .* reads format 1"
    ):
        Store(store.root)
    with pytest.raises(InputError, match="format 0"):
        Store.claim(store.root, {"name": "x"}, PLAN)
    (store.root / "study.json").write_text("{}")
    with pytest.raises(InputError, match="is not a study's"):
        Store(store.root)
    for damaged in (
        {**record, "plan": None},
        {**record, "plan": {"cells": 1}},
        {**record, "study": 3},
    ):
        (store.root / "study.json").write_text(json.dumps(damaged))
        with pytest.raises(InputError, match="is damaged; delete it and run the study again"):
            Store(store.root)
    published(store)
    (store.root / "study.json").unlink()  # the cells alone are still those of a study
    assert Store.claim(store.root, {"name": "x"}, PLAN).health(A) == "finished"


def test_a_folder_of_other_files_is_not_taken_over(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="holds other files and no study"):
        Store.claim(tmp_path, {"name": "x"}, PLAN)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_what_a_kill_left_of_the_first_study_file_is_no_hindrance(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / ".study.json.0a1b2c3d.tmp").write_text('{"form')
    assert Store.claim(tmp_path / "s", {"name": "x"}, PLAN).plan == PLAN


def test_a_changed_specification_of_the_same_name_is_taken_over(store):
    published(store)
    again = Store.claim(store.root, {"name": "x", "seeds": 3}, {"cells": [1], "places": []})
    assert again.plan["cells"] == [1]
    assert again.health(A) == "finished"


def test_a_cell_that_cannot_be_published_leaves_no_half(store, monkeypatch):
    (store.root / "cells").write_text("a file where a folder must be")
    store.work(A).mkdir(parents=True)
    with pytest.raises(OutputError, match="cannot make the folder"):
        store.publish(A, {})
    (store.root / "cells").unlink()
    assert store.health(A) == "missing"
