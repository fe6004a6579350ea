"""Metrics: a line per epoch in a file, and the trackers."""

from __future__ import annotations

import importlib.util
import json

import pytest
from small import conv, digits

from saddlepoint.defences import Recipe
from saddlepoint.errors import InputError
from saddlepoint.training import read_metrics, train
from saddlepoint.training.metrics import append_metrics, forget_after


def test_a_line_cut_short_and_what_comes_after_are_forgotten(tmp_path):
    for epoch in (1, 2, 3):
        append_metrics(tmp_path, {"epoch": epoch})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 4, "lo')
    assert [record["epoch"] for record in read_metrics(tmp_path)] == [1, 2, 3]
    forget_after(tmp_path, 2)
    assert (tmp_path / "metrics.jsonl").read_text() == '{"epoch": 1}\n{"epoch": 2}\n'


def test_every_line_is_json_with_the_numbers_of_its_epoch(tmp_path):
    result = train(
        conv(), digits(limit=64), Recipe(epochs=2), out=tmp_path, test=digits("test", 20)
    )
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == result.metrics == read_metrics(tmp_path)
    expected = {"epoch", "loss", "accuracy", "learning_rate", "seconds", "test_accuracy", "curve"}
    assert all(set(line) == expected for line in lines)


@pytest.mark.filterwarnings("ignore")
def test_tensorboard_gets_every_metric_of_every_epoch(tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    result = train(conv(), digits(limit=64), Recipe(epochs=3), out=tmp_path, tracker="tensorboard")
    found = events.EventAccumulator(str(tmp_path / "tensorboard"))
    found.Reload()
    assert {"loss", "accuracy", "learning_rate", "seconds"} == set(found.Tags()["scalars"])
    losses = found.Scalars("loss")
    assert [event.step for event in losses] == [1, 2, 3]
    assert [event.value for event in losses] == pytest.approx([m["loss"] for m in result.metrics])


def test_mlflow_gets_every_metric_of_every_epoch(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    result = train(conv(), digits(limit=64), Recipe(epochs=2), out=tmp_path, tracker="mlflow")
    [run] = mlflow.search_runs(experiment_names=["saddlepoint"], output_format="list")
    assert run.data.metrics["loss"] == pytest.approx(result.metrics[-1]["loss"])


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is not None, reason="mlflow is installed")
def test_a_missing_tracker_says_how_to_get_it_and_the_folder_stays_free(tmp_path):
    with pytest.raises(InputError, match=r"pip install 'saddlepoint\[track\]'"):
        train(conv(), digits(limit=64), Recipe(epochs=1), out=tmp_path, tracker="mlflow")
    train(conv(), digits(limit=64), Recipe(epochs=1), out=tmp_path)


def test_an_unknown_tracker_and_one_without_a_folder_are_errors(tmp_path):
    with pytest.raises(InputError, match="did you mean 'tensorboard'"):
        train(conv(), digits(limit=64), Recipe(epochs=1), out=tmp_path, tracker="tensorbord")
    with pytest.raises(InputError, match="tensorboard needs an output folder"):
        train(conv(), digits(limit=64), Recipe(epochs=1), tracker="tensorboard")
