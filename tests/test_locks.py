"""A folder that is being written is nobody else's; however its process ends, it is free again."""

from __future__ import annotations

import os
import signal
import time

import pytest
import torch
from small import conv, die, digits, finish, start, trained

from saddlepoint.attacks import PGD
from saddlepoint.defences import Recipe
from saddlepoint.errors import InputError
from saddlepoint.evaluation import evaluate, run_attack
from saddlepoint.files import sweep, temporary_name
from saddlepoint.locks import locked
from saddlepoint.run_folders import LOCK_FILE, claimed
from saddlepoint.threat import Linf
from saddlepoint.training import train


def run_train(out, progress=None):
    return train(conv(), digits(limit=64), Recipe(epochs=2, batch_size=32), out=out, resume=True,
                 progress=progress)  # fmt: skip


def run_evaluate(out, progress=None):
    return evaluate(trained(), digits("test", 64), Linf(), eps=[0.1], suite="quick", out=out,
                    progress=progress)  # fmt: skip


def run_one(out, progress=None):
    return run_attack(trained(), digits("test", 64), PGD(Linf(0.1), steps=2), out=out, batch_size=8,
                      progress=progress)  # fmt: skip


RUNS = [run_train, run_evaluate, run_one]


def wait_in_the_middle(run, out):
    seen = []

    def progress(tick):
        if not seen:
            (out / "begun").touch()
        seen.append(tick)
        while (out / "begun").exists():
            time.sleep(0.01)

    run(out, progress)


def begin(run, out):
    process = start(wait_in_the_middle, run, out)
    end = time.monotonic() + 60
    while not (out / "begun").exists():
        assert time.monotonic() < end
        assert process.is_alive()
        time.sleep(0.01)
    return process


@pytest.mark.parametrize("run", RUNS)
def test_the_second_is_refused_at_once_and_the_first_is_not_disturbed(tmp_path, run):
    torch.set_num_threads(1)
    process = begin(run, tmp_path / "a")
    began = time.monotonic()
    for other in RUNS:
        with pytest.raises(InputError, match=r"another process is writing to .*a; wait for it"):
            other(tmp_path / "a")
    assert time.monotonic() - began < 40  # and not when the first has ended
    (tmp_path / "a" / "begun").unlink()
    process.join(60)
    assert process.exitcode == 0
    run(tmp_path / "b")
    names = [sorted(p.name for p in (tmp_path / folder).rglob("*")) for folder in "ab"]
    assert names[0] == names[1]
    assert LOCK_FILE not in names[0]
    run(tmp_path / "a")  # finished: it is read


@pytest.mark.parametrize("run", RUNS)
def test_a_killed_one_leaves_no_lock_and_nothing_half_written(tmp_path, run):
    process = begin(run, tmp_path)
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    (tmp_path / "begun").unlink()
    own = "checkpoints" if run is run_train else "parts"
    for folder in (tmp_path, tmp_path / own):
        folder.mkdir(exist_ok=True)
        temporary_name(folder / "x.json").write_text("{")
        temporary_name(folder / "epoch-0001-step-000000").mkdir()
    run(tmp_path)
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.parametrize("run", RUNS)
def test_a_finished_run_is_read_without_a_lock_and_without_a_write(tmp_path, run, monkeypatch):
    run(tmp_path)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    monkeypatch.setattr("saddlepoint.run_folders.locked", lambda _: pytest.fail("it is locked"))
    run(tmp_path)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


def hold(path):
    with locked(path) as mine:
        assert mine
        die()


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    path = tmp_path / "x.lock"
    assert finish(hold, path) == -signal.SIGKILL
    assert path.exists()
    with locked(path) as mine, locked(path) as again:
        assert (mine, again) == (True, False)
    assert not path.exists()


def rush(path, log, rounds):
    for _ in range(rounds):
        with locked(path) as mine:
            if mine:
                handle = os.open(log, os.O_CREAT | os.O_EXCL | os.O_RDWR)  # fails where two hold it
                os.close(handle)
                log.unlink()


def test_no_two_hold_it_though_its_file_comes_and_goes(tmp_path):
    words = (tmp_path / "x.lock", tmp_path / "held", 100)
    processes = [start(rush, *words) for _ in range(3)]
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]


def test_what_others_named_so_is_not_swept(tmp_path):
    for name in (".notes.tmp", "a.0123abcd.tmp", ".a.0123abcd.tmp.txt", ".a.xyz12345.tmp"):
        (tmp_path / name).touch()
    left = set(tmp_path.iterdir())
    temporary_name(tmp_path / "a").touch()
    sweep(tmp_path)
    assert set(tmp_path.iterdir()) == left


def test_a_claim_that_fails_frees_the_folder(tmp_path):
    def fails():
        with claimed(tmp_path, "train", {}):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fails()
    with claimed(tmp_path, "train", {}) as found:
        assert found == "new"
        with (
            pytest.raises(InputError, match="another process is writing"),
            claimed(tmp_path, "train", {}),
        ):
            pass
