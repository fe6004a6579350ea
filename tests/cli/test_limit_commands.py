"""`evaluate --budget`, `--until` and `--warm-start`, and what they are given wrongly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commandline import cli_fixture, cnn_fixture, net_fixture, refused_fixture  # noqa: F401
from words import evaluate


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def record():
    return json.loads(Path("out/evaluation.json").read_text())


def test_a_time_that_is_up_is_a_bound_and_the_command_goes_on(cli, net):
    outcome = cli(*evaluate(model=net[0], budget="0.000001s"))
    assert outcome.status == 0
    assert "the time was up: every robust accuracy is an upper bound; left is fgsm" in outcome.out
    assert "what is done is kept in out; the same command goes on" in outcome.out
    assert record()["left"][0]["attack"] == "fgsm"
    assert "verdict" not in record()
    assert not Path("out/accuracy.png").exists()
    told = cli(*evaluate(model=net[0], budget="0.000001s"), "--json")
    assert told.json["left"]
    assert "figure" not in told.json["files"]
    assert "is not finished" in cli("compare", "out", *other(cli, net)).err
    outcome = cli(*evaluate(model=net[0], budget="1h"))
    assert outcome.status == 0
    assert "left" not in record()
    assert "verdict" in record()
    assert Path("out/accuracy.png").exists()


def other(cli, net):
    assert cli(*evaluate(model=net[0], out="other", seed=1)).status == 0
    return ("other",)


def test_a_question_is_answered_under_the_suite(cli, net):
    outcome = cli(*evaluate(model=net[0], until="robust>=0.999"))
    assert outcome.status == 0
    assert "robust>=0.999 under this suite: no" in outcome.out
    assert "without --until to the end" in outcome.out
    assert record()["until"]["answer"] == "no"


def test_starts_of_another_evaluation(cli, refused, net):
    assert cli(*evaluate(model=net[0], out="a")).status == 0
    assert cli(*evaluate(model=net[0], out="b", warm_start="a")).status == 0
    assert json.loads(Path("b/evaluation.json").read_text())["config"]["warm_start"]
    assert "a is of other images" in refused(*evaluate(model=net[0], warm_start="a", limit=8))
    assert not Path("out").exists() or not any(Path("out").rglob("*.json"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"budget": "soon"}, "a time is 'soon'; give seconds, or such as 90s, 10min, 1.5h"),
        ({"budget": "8/255"}, "a time is '8/255'"),
        ({"budget": "0"}, "give more than none"),
        ({"until": "acc>0.3"}, "until is 'acc>0.3'; give robust>=0.45"),
        ({"until": "robust>=45"}, "is 45% meant?"),
        ({"warm_start": "nowhere"}, "cannot read nowhere/evaluation.json"),
    ],
)
def test_what_cannot_be_meant(refused, words, told):
    assert told in refused(*evaluate(**words))
    assert not Path("out").exists()


def test_a_question_of_two_budgets(refused):
    assert "asks of one budget" in refused(*evaluate(until="robust>=0.5"), "--eps", "0.1")
