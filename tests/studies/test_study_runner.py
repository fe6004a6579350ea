"""The runner: every cell once, failures recorded and retried, damage repaired, interruptions cheap."""

from __future__ import annotations

import errno
import random
import shutil
import signal
import time

import pytest
from studies.tiny import CELLS, ONE_SEED, SMALLEST, TEXT, Here, results, runner, tiny, written

from saddlepoint import files
from saddlepoint.errors import InputError, OutputError
from saddlepoint.studies import Outcome, load, load_results, load_status, run_study
from saddlepoint.studies.work import perform


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    engine = Here()
    state = run_study(tiny(), folder / "s", engine=engine)
    assert (state.finished, state.total, state.complete) == (CELLS, CELLS, True)
    assert len(engine.done) == len(set(engine.done)) == CELLS
    return folder / "s"


@pytest.fixture(scope="module")
def smallest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("smallest")
    assert run_study(tiny(**SMALLEST), folder / "s", engine=Here()).complete
    return folder / "s"


def copy(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "s")
    return tmp_path / "s"


def test_every_cell_is_run_once_and_trainings_come_first(whole, tmp_path):
    engine = Here()
    again = run_study(tiny(), copy(whole, tmp_path), engine=engine)
    assert again.complete
    assert engine.done == []


def test_the_tables_hold_what_the_cells_found(whole):
    rows = load(whole).to_arrow_table().to_pylist()
    assert len(rows) == 8
    images = load(whole, "images").to_arrow_table().to_pylist()
    for row in rows:
        keys = ("variant", "seed", "eps", "attack")
        mine = [i for i in images if all(i[key] == row[key] for key in keys)]
        assert len(mine) == row["images"] == 40
        right = [i for i in mine if not i["initially_wrong"]]
        assert row["clean_accuracy"] == pytest.approx(len(right) / 40)
        assert row["robust_accuracy"] == pytest.approx(sum(not i["success"] for i in mine) / 40)
        flipped = sum(i["success"] for i in right)
        assert row["success_rate"] == pytest.approx(flipped / len(right))
        assert all((i["prediction"] != i["label"]) == i["success"] for i in mine)
    trainings = load(whole, "trainings").to_arrow_table().to_pylist()
    assert [t["eps"] for t in trainings if t["variant"] == "original"] == [None, None]
    curves = load(whole, "curves").to_arrow_table().to_pylist()
    assert max(c["epoch"] for c in curves) == 2.0
    assert len(curves) == 6 * 8
    found = load_results(whole)
    assert found.complete
    examples = found.examples("original", 1, 48 / 255, "pgd")
    moved = (examples["adversarials"] - examples["images"]).abs().flatten(1).amax(1)
    assert float(moved.max()) == pytest.approx(48 / 255, abs=1e-5)
    model = found.model("adversarial", 0, 16 / 255)
    before = model(examples["images"]).argmax(1)
    assert not model.training
    assert len(before) == 8


def test_the_number_of_workers_changes_nothing(smallest, tmp_path):
    assert run_study(tiny(**SMALLEST), tmp_path / "s", workers=2).complete
    assert results(tmp_path / "s") == results(smallest)


def test_a_failed_cell_is_recorded_with_its_error_and_the_others_go_on(whole, tmp_path):
    def work(job):
        if job.cell.label == "original, seed 1, training":
            return Outcome(job.cell.address, "failed", 0.1, "RuntimeError: a cosmic ray", "trace")
        return perform(job)

    state = run_study(tiny(), tmp_path / "s", engine=Here(work))
    assert state.failed == {"original, seed 1, training": "RuntimeError: a cosmic ray"}
    assert state.blocked == 2
    assert state.finished == CELLS - 3
    assert load_status(tmp_path / "s").failed == state.failed
    found = load_results(tmp_path / "s")
    assert len(found.missing) == 2
    assert list(found.failed) == ["original, seed 1, training"]
    assert len(found.evaluations) == 6
    with pytest.raises(InputError, match="is not in the store"):
        found.model("original", 1, 16 / 255)
    assert run_study(tiny(), tmp_path / "s", engine=Here()).complete
    assert results(tmp_path / "s") == results(whole)
    assert load_status(tmp_path / "s").failed == {}


def test_an_exception_in_a_cell_becomes_its_error(tmp_path):
    spec = tiny(recipe="recipe: {epochs: 2, batch_size: 40, optimiser: {learning_rate: 1.0e+30}}")
    state = run_study(spec, tmp_path / "s", engine=Here())
    assert state.finished == 0
    assert all("lower the learning rate" in error for error in state.failed.values())
    assert state.blocked == 8


def test_a_damaged_cell_is_named_set_aside_and_run_again(whole, tmp_path):
    folder = copy(whole, tmp_path)
    cell = load(folder).to_arrow_table().to_pylist()[3]
    (folder / "cells" / cell["address"] / "images.parquet").write_bytes(b"PAR1 no more")
    found = load_results(folder)
    assert len(found.damaged) == 1
    assert len(found.evaluations) == 7  # the rest is reported
    assert load_status(folder).damaged == found.damaged
    engine = Here()
    state = run_study(tiny(), folder, engine=engine)
    assert engine.done == list(found.damaged)
    assert "was damaged; it lies in" in state.notes[0]
    assert len(list((folder / "aside").iterdir())) == 1
    assert results(folder) == results(whole)


def test_a_worker_that_keeps_dying_costs_one_cell(tmp_path):
    def work(job):
        lost = job.cell.label == "original, seed 0, training"
        return Outcome(job.cell.address, "lost", 0.0, "its worker died") if lost else perform(job)

    state = run_study(tiny(**ONE_SEED), tmp_path / "s", engine=Here(work))
    assert state.failed == {
        "original, seed 0, training": "its worker died 3 times; is there enough memory?"
    }
    assert state.finished == CELLS // 2 - 3


def test_a_full_disk_ends_the_run_with_a_line_and_keeps_what_is_finished(tmp_path, monkeypatch):
    engine = Here()
    whole_write = files.os.fsync

    def full(handle):
        if len(engine.done) >= 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        whole_write(handle)

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OutputError, match=r"No space left on device; what is finished is kept"):
        run_study(tiny(**ONE_SEED), tmp_path / "s", engine=engine)
    monkeypatch.undo()
    status = load_status(tmp_path / "s")
    assert sum(a + c for a, _, c, _ in status.counts.values()) == 5
    assert status.damaged == ()
    assert run_study(tiny(**ONE_SEED), tmp_path / "s", engine=Here()).complete


def test_a_grown_study_runs_only_what_is_new(whole, tmp_path):
    engine = Here()
    only = "original"  # the other variant grows alike
    state = run_study(tiny(seeds="seeds: 3"), copy(whole, tmp_path), engine=engine, only=only)
    assert state.complete
    assert len(engine.done) == 1 + 2
    assert all("seed 2" in label for label in engine.done)


def test_only_runs_a_part(tmp_path):
    state = run_study(tiny(), tmp_path / "s", engine=Here(), only="original, seed 0")
    assert (state.finished, state.total) == (3, 3)
    assert not load_results(tmp_path / "s").complete


@pytest.mark.slow
def test_killed_runners_and_workers_lose_only_unfinished_cells(whole, tmp_path):
    (tmp_path / "tiny.yaml").write_text(TEXT)
    for _ in range(5):
        process = runner(tmp_path / "tiny.yaml", tmp_path / "s", "--workers", "2")
        deadline = time.monotonic() + 60
        before = len(list((tmp_path / "s/cells").glob("*")))
        while time.monotonic() < deadline and process.poll() is None:
            if len(list((tmp_path / "s/cells").glob("*"))) > before:
                break
            time.sleep(0.02)
        time.sleep(random.uniform(0.0, 0.6))  # after the first cell that it finished
        process.send_signal(signal.SIGKILL)
        process.wait()
    state = run_study(tiny(), tmp_path / "s", workers=2)
    assert state.complete
    assert state.notes == ()
    assert results(tmp_path / "s") == results(whole)


@pytest.mark.slow
def test_two_runners_share_the_work(whole, tmp_path):
    (tmp_path / "tiny.yaml").write_text(TEXT)
    both = [runner(tmp_path / "tiny.yaml", tmp_path / "s") for _ in range(2)]
    ended = [process.communicate(timeout=240) for process in both]
    assert [process.returncode for process in both] == [0, 0], ended
    assert all(f"all {CELLS} cells are finished" in out for out, _ in ended)
    assert results(tmp_path / "s") == results(whole)
    assert not (tmp_path / "s/aside").exists()


def test_ctrl_c_stops_and_the_same_command_goes_on(smallest, tmp_path):
    (tmp_path / "tiny.yaml").write_text(written(**SMALLEST))
    process = runner(tmp_path / "tiny.yaml", tmp_path / "s")
    while not list((tmp_path / "s/unfinished").glob("*")) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped" in err
    assert "Traceback" not in err
    assert run_study(tiny(**SMALLEST), tmp_path / "s", engine=Here()).complete
    assert results(tmp_path / "s") == results(smallest)
