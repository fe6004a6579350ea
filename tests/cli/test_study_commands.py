"""`saddlepoint study`: run, status and report, from a YAML file to a page."""

from __future__ import annotations

import json

import pytest
from cli.commandline import cli_fixture, refused_fixture  # noqa: F401
from reports.quick import leave_pictures_empty
from studies.tiny import CELLS, TEXT, Here


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a study that was run in this process, and its file."""
    from saddlepoint.studies import parse_study, run_study

    folder = tmp_path_factory.mktemp("study")
    (folder / "tiny.yaml").write_text(TEXT)
    assert run_study(parse_study(TEXT), folder / "s", engine=Here()).complete
    return folder


def test_a_dry_run_prints_the_grid_and_runs_nothing(cli, finished, tmp_path):
    found = cli(
        "study", "run", finished / "tiny.yaml", "--dry-run", "--json", "--out", tmp_path / "s"
    )
    assert found.status == 0
    assert found.json["cells"] == len(found.json["labels"]) == CELLS
    assert found.json["trainings"] == 6
    assert found.json["seconds"] > 0
    assert set(found.json["step_seconds"]) == {"original", "adversarial"}
    assert not (tmp_path / "s").exists()
    shown = cli("study", "run", finished / "tiny.yaml", "--dry-run").out
    assert "14 cells: 6 trainings, 8 evaluations" in shown
    assert "seeds 0, 1; eps 16/255, 48/255; attacks pgd" in shown


def test_a_finished_study_is_run_again_in_no_time(cli, finished):
    found = cli("study", "run", finished / "tiny.yaml", "--out", finished / "s", "--json")
    assert found.status == 0
    assert found.json["finished"] == CELLS


def test_status_counts_what_is_finished(cli, finished):
    found = cli("study", "status", finished / "s", "--json").json
    assert found["complete"]
    assert found["variants"]["adversarial"] == {
        "trained": 4, "trainings": 4, "evaluated": 4, "evaluations": 4,
    }  # fmt: skip
    shown = cli("study", "status", finished / "s").out
    assert "4 of 4" in shown


def test_report_writes_the_page_and_prints_the_table(cli, finished, tmp_path):
    found = cli("study", "report", finished / "s", "--out", tmp_path / "r")
    assert found.status == 0, found
    assert "adversarial" in found.out
    assert "mean over eps" in found.out
    assert "No stars: they need at least 5 seeds, and this study has 2." in found.out
    assert (tmp_path / "r/index.html").stat().st_size > 10_000
    assert (tmp_path / "r/report.md").exists()


def test_an_unfinished_study_is_reported_and_says_so(cli, finished, tmp_path, monkeypatch):
    leave_pictures_empty(monkeypatch)
    words = (
        "study",
        "run",
        finished / "tiny.yaml",
        "--out",
        tmp_path / "s",
        "--only",
        "seed 0",
        "--json",
    )
    assert cli(*words).json["finished"] == CELLS // 2
    found = cli("study", "report", tmp_path / "s")
    assert f"{CELLS // 2} cells are not finished" in found.out
    top = (tmp_path / "s/report/report.md").read_text()[:1500]
    assert "original, seed 1, training" in top
    status = json.loads(cli("study", "status", tmp_path / "s", "--json").out)
    assert not status["complete"]


def test_what_cannot_be_run_is_refused_in_a_line(refused, finished, tmp_path):
    file = finished / "tiny.yaml"
    assert "give --out DIR" in refused("study", "run", file)
    assert "cannot read" in refused("study", "run", tmp_path / "none.yaml", "--out", tmp_path / "s")
    assert "no cell matches 'nothing'" in refused(
        "study", "run", file, "--out", tmp_path / "s", "--only", "nothing"
    )
    bad = tmp_path / "bad.yaml"
    bad.write_text(TEXT.replace("eps: [16/255", "eps: [0"))
    message = refused("study", "run", bad, "--out", tmp_path / "s")
    assert f"{bad}, line 6: eps.0: is 0" in message
    bad.write_text(TEXT.replace("digits", "digtis"))
    assert "did you mean 'digits'" in refused("study", "run", bad, "--out", tmp_path / "s")
    assert not (tmp_path / "s").exists()
    bad.write_text(TEXT.replace("name: tiny", "name: other"))
    assert "holds the study 'tiny', not 'other'" in refused(
        "study", "run", bad, "--out", finished / "s"
    )
    for command in ("status", "report"):
        assert "cannot read" in refused("study", command, tmp_path / "nowhere")


def test_failed_cells_end_with_status_2_and_their_errors(refused, tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text(TEXT.replace("epochs: 2,", "epochs: 2, optimiser: {learning_rate: 1.0e+30},"))
    message = refused("study", "run", bad, "--out", tmp_path / "s")
    assert "cells that failed: 6 (original, seed 0, training: " in message
    assert "evaluations that wait for them: 8" in message
