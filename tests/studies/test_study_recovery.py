"""What interrupted, foreign and odd cells leave behind is gone on with, or begun afresh."""

from __future__ import annotations

import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest
import torch
from sampled import mostly_slow
from studies.tiny import SMALLEST, TEXT, Here, results, tiny

from saddlepoint.attacks import PGD
from saddlepoint.data import load_data
from saddlepoint.errors import InputError
from saddlepoint.evaluation import journal, run_attack, steps
from saddlepoint.studies import (
    Job,
    LocalEngine,
    Store,
    load,
    load_results,
    load_status,
    parse_study,
    run_study,
)
from saddlepoint.studies.grid import Cell
from saddlepoint.studies.work import perform
from saddlepoint.threat import Linf

CELLS = 4


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "s"
    assert run_study(tiny(**SMALLEST), folder, engine=Here()).finished == CELLS
    return folder


class Stop(BaseException):
    """As sudden as a kill: nothing in the program handles it."""


def stopped(folder, monkeypatch, at):
    """Run until a checkpoint is written for the `at`-th time, and stop there."""
    from saddlepoint.training import state

    seen = []
    save = state.save_checkpoint

    def stop(*words):
        path = save(*words)
        seen.append(path)
        if len(seen) == at:
            raise Stop
        return path

    with monkeypatch.context() as patch:
        patch.setattr(state, "save_checkpoint", stop)
        with pytest.raises(Stop):
            run_study(tiny(**SMALLEST), folder, engine=Here())
    (work,) = (folder / "unfinished").iterdir()
    return work


def test_an_interrupted_evaluation_goes_on_from_its_last_batch(tmp_path, monkeypatch):
    # Five batches of eight images in each of two evaluations.
    spec = tiny(**SMALLEST, recipe="recipe: {epochs: 1, batch_size: 40}\nbatch_size: 8")
    assert run_study(spec, tmp_path / "whole", engine=Here()).complete
    monkeypatch.setattr(journal, "LATEST", 0.0)
    batches = []
    step = steps.Steps._step

    def told(self, name, ids, *rest):
        if len(batches) == 3:
            batches.append("stop")
            raise Stop
        batches.append(ids.tolist())
        return step(self, name, ids, *rest)

    monkeypatch.setattr(steps.Steps, "_step", told)
    with pytest.raises(Stop):
        run_study(spec, tmp_path / "s", engine=Here())
    assert run_study(spec, tmp_path / "s", engine=Here()).complete
    assert batches.count("stop") == 1
    assert len(batches) == 10 + 1
    assert results(tmp_path / "s") == results(tmp_path / "whole")
    assert not list((tmp_path / "s" / "cells").glob("*/parts"))


def test_what_a_killed_process_left_half_written_is_not_published(whole, tmp_path, monkeypatch):
    work = stopped(tmp_path / "s", monkeypatch, 1)
    for folder in (work, tmp_path / "s", tmp_path / "s" / "failed"):
        folder.mkdir(exist_ok=True)
        (folder / ".curve.parquet.0123abcd.tmp").write_bytes(b"half")
    assert run_study(tiny(**SMALLEST), tmp_path / "s", engine=Here()).complete
    assert not list((tmp_path / "s").rglob("*.tmp"))
    assert not list((tmp_path / "s").rglob("*.lock"))
    cells = [
        sorted(p.name for p in (f / "s" / "cells").rglob("*")) for f in (whole.parent, tmp_path)
    ]
    assert cells[0] == cells[1]
    assert results(tmp_path / "s") == results(whole)


def test_an_interrupted_training_goes_on_from_its_checkpoint(whole, tmp_path, monkeypatch):
    stopped(tmp_path / "s", monkeypatch, 1)
    assert run_study(tiny(**SMALLEST), tmp_path / "s", engine=Here()).complete
    assert results(tmp_path / "s") == results(whole)


@pytest.mark.parametrize(
    "damage",
    [
        lambda work: shutil.rmtree(next((work / "checkpoints").iterdir())),
        lambda work: [
            path.unlink() for path in (work / "checkpoints").rglob("*") if path.is_file()
        ],
        lambda work: (work / "metrics.jsonl").unlink(),
        lambda work: (work / "run.json").unlink(),
        lambda work: (work / "run.json").write_text('{"kind": "tr'),
        lambda work: (shutil.rmtree(work), work.write_text("a file")),
    ],
)
def test_a_work_folder_that_cannot_be_gone_on_with_is_begun_afresh(
    whole, tmp_path, monkeypatch, damage
):
    damage(stopped(tmp_path / "s", monkeypatch, 1))
    state = run_study(tiny(**SMALLEST), tmp_path / "s", engine=Here())
    assert state.complete, state
    assert results(tmp_path / "s") == results(whole)


def test_a_suite_is_an_attack_like_any_other(tmp_path):
    spec = tiny(**SMALLEST, attacks="attacks: {quick: {suite: quick}, fgsm: {name: fgsm}}")
    assert run_study(spec, tmp_path / "s", engine=Here()).failed == {}
    rows = load(tmp_path / "s").to_arrow_table().to_pylist()
    images = load(tmp_path / "s", "images").to_arrow_table().to_pylist()
    for variant in ("original", "adversarial"):
        suite, fgsm = (
            next(r for r in rows if (r["variant"], r["attack"]) == (variant, attack))
            for attack in ("quick", "fgsm")
        )
        assert suite["robust_accuracy"] <= fgsm["robust_accuracy"]  # FGSM is in the suite
        assert suite["clean_accuracy"] == fgsm["clean_accuracy"]
        mine = [i for i in images if (i["variant"], i["attack"]) == (variant, "quick")]
        assert sum(not i["success"] for i in mine) == pytest.approx(40 * suite["robust_accuracy"])
        assert all(i["success"] for i in mine if i["initially_wrong"])


RANDOM = "variants:\n  random: {transforms: [{name: random-self-ensemble, samples: 2}]}"


def test_the_examples_are_the_first_images_as_the_evaluation_left_them(tmp_path):
    """Of a random model too, which is attacked in expectation."""
    attacks = "attacks: {pgd: {name: pgd, steps: 3}, quick: {suite: quick}}"
    text = TEXT[: TEXT.index("parts:")] + RANDOM
    spec = parse_study(re.sub("(?m)^seeds:.*$", "seeds: 1", re.sub("attacks:.*", attacks, text)))
    folder = tmp_path / "s"
    assert run_study(spec, folder, engine=Here()).failed == {}
    found, store = load_results(folder), Store(folder)
    data = load_data("digits", split="test", limit=40)
    for row in load(folder).to_arrow_table().to_pylist():
        examples = found.examples("random", 0, row["eps"], row["attack"])
        assert torch.equal(examples["images"], data.images(torch.arange(8)))
        assert torch.equal(examples["labels"], data.labels[:8])
        moved = (examples["adversarials"] - examples["images"]).abs().flatten(1).amax(1)
        if row["attack"] == "quick":  # which keeps no images: PGD, in expectation as well
            model = found.model("random", 0, row["eps"])
            pgd = run_attack(model, data, PGD(Linf(row["eps"])), batch_size=spec.batch_size)
            assert torch.equal(examples["adversarials"], pgd.result.adversarials[:8])
            assert float(moved.max()) == pytest.approx(row["eps"], abs=1e-5)
            continue
        images = pq.read_table(store.cell(row["address"]) / "images.parquet").slice(0, 8)
        assert images["prediction"].to_pylist() == examples["after"].tolist()
        assert images["distance"].to_pylist() == pytest.approx(moved.tolist(), abs=1e-6)
        assert float(moved.max()) > 0


def test_a_job_of_no_study_fails_and_raises_nothing(tmp_path):
    cell = Cell("training", "original", 0, None, "", {})
    done = perform(Job(str(tmp_path), None, {}, cell))
    assert done.status == "failed"
    assert "study.json" in done.error


@pytest.mark.parametrize("name", ["a*c", "a[bx]c", "a?c"])
def test_a_folder_whose_name_is_a_pattern_is_read_as_it_is(whole, tmp_path, name):
    shutil.copytree(whole, tmp_path / name)
    shutil.copytree(whole, tmp_path / "abc")
    assert results(tmp_path / name) == results(whole)


def test_variants_that_share_their_cells_are_both_reported(tmp_path):
    spec = parse_study(TEXT.replace("seeds: 2", "seeds: 1") + "  same: []\n")
    assert run_study(spec, tmp_path / "s", engine=Here()).total == 7
    assert load_status(tmp_path / "s").counts["same"] == (1, 1, 2, 2)
    rows = load(tmp_path / "s", "trainings").to_arrow_table().to_pylist()
    assert [row["variant"] for row in rows].count("same") == 1


NET = """
from torch import nn
def net(classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, classes))
"""


def test_the_users_own_model_is_found_from_elsewhere_and_must_be_the_same(tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    spec = tiny(**SMALLEST, model="model: net.py:net")
    assert run_study(spec, "s", engine=Here()).complete
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    found = load_results(tmp_path / "s")
    assert not found.model("original", 0, 48 / 255).training
    (tmp_path / "net.py").write_text(NET.replace("nn.ReLU()", "nn.Tanh()"))
    with pytest.raises(InputError, match="has changed since the training"):
        load_results(tmp_path / "s").model("original", 0, 48 / 255)


def test_a_model_file_that_changes_while_the_study_runs_fails_its_cells(tmp_path):
    (tmp_path / "net.py").write_text(NET)

    def work(job):
        (tmp_path / "net.py").write_text(NET + "# changed\n")
        return perform(job)

    spec = tiny(**SMALLEST, model=f"model: {tmp_path}/net.py:net")
    state = run_study(spec, tmp_path / "s", engine=Here(work))
    assert state.finished == 0
    assert all("changed while the study ran" in error for error in state.failed.values())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"model": "model: {name: zoo:simple-cnn, width: [4]}"},
            r"the variant original: unknown option",
        ),
        ({"model": "model: zoo:simple-cmm"}, r"did you mean 'simple-cnn'|unknown zoo model"),
        (
            {"recipe": "recipe: {transforms: [{name: quantise, weight_bits: 99}]}"},
            "weight_bits is 99",
        ),
        (
            {"recipe": "recipe: {transforms: [{name: random-self-ensemble, samples: 0}]}"},
            "samples is 0",
        ),
    ],
)
def test_a_model_that_cannot_be_built_is_refused_before_the_first_cell(tmp_path, changed, message):
    with pytest.raises(InputError, match=message):
        run_study(tiny(**SMALLEST, **changed), tmp_path / "s", engine=Here())
    assert not (tmp_path / "s").exists()


SCRIPT = """
from saddlepoint.studies import parse_study, run_study
TEXT = {text!r}
print(run_study(parse_study(TEXT), {folder!r}).finished)
"""


def test_a_script_that_cannot_start_workers_is_told_so(tmp_path):
    script = SCRIPT.format(text=TEXT, folder=str(tmp_path / "s"))
    done = subprocess.run([sys.executable, "-"], input=script, capture_output=True, text=True)
    assert done.returncode == 1
    assert "write the script to a file" in done.stderr.splitlines()[-1]
    assert not list(Store(tmp_path / "s").root.glob("cells/*"))


@pytest.mark.parametrize(
    "number", mostly_slow([signal.SIGKILL, signal.SIGTERM], quick=[signal.SIGKILL])
)
def test_a_worker_that_is_killed_costs_its_cell_a_second_start(whole, tmp_path, number):
    """The engine's own processes, killed at a random moment of their work."""
    killed = []

    def kill(state):
        if state.running and not killed:
            time.sleep(random.uniform(0.0, 0.5))
            killed.extend(multiprocessing.active_children())
            for process in killed:
                os.kill(process.pid, number)

    with LocalEngine(1) as engine:
        state = run_study(tiny(**SMALLEST), tmp_path / "s", engine=engine, progress=kill)
    assert killed
    assert state.complete, state
    assert state.failed == {}
    assert results(tmp_path / "s") == results(whole)
