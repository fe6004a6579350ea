"""The verdict on the command line: it comes first, and what is asked for beside the checks is told."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
from commandline import cli_fixture, net_fixture, refused_fixture  # noqa: F401

from saddlepoint.attacks import FGSM
from saddlepoint.evaluation import Evaluation

pytestmark = pytest.mark.filterwarnings("ignore:the gradient was exactly 0")
SUBJECT = ("--data", "digits", "--limit", 12, "--eps", 0.1, "--suite", "quick")
ROUNDED = """
class Rounded(nn.Sequential):
    def forward(self, x):
        return super().forward((x * 16).round() / 16)

def rounded(classes):
    return Rounded(*net(classes))
"""


@pytest.fixture(name="subject")
def _subject(net):
    return (*SUBJECT, "--model", net[0], "--weights", net[1])


@pytest.fixture(name="masked")
def _masked(net):
    name, weights = net
    file = Path(name.removesuffix(":net"))
    file.write_text(file.read_text() + ROUNDED)
    return (*SUBJECT, "--model", f"{file}:rounded", "--weights", weights)


def test_diagnose_tells_every_check_and_writes_nothing(cli, subject, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    found = cli("diagnose", *subject)
    assert found.status == 0, found
    assert found.out.startswith("verdict: healthy: no check found anything against the number")
    for check in ("gradient-agreement", "unbounded", "noise", "another-start"):
        assert check in found.out
    assert "robust accuracy" in found.out
    told = cli("diagnose", *subject, "--json").json
    assert next(iter(told)) == "verdict"
    assert told["verdict"]["verdict"] == "healthy"
    assert set(tmp_path.iterdir()) - before <= {tmp_path / "__pycache__"}


def test_diagnose_says_what_to_do_about_a_masked_gradient(cli, masked, net):
    found = cli("diagnose", *masked, "--surrogate", net[1], "--surrogate-model", net[0])
    assert found.status == 0, found
    assert "surrogate (broken): " in found.out
    assert found.out.startswith("verdict: broken: the robust accuracy is not to be used")
    assert "zero-gradient (broken): no gradient for " in found.out
    assert "--adaptive replaces the backward" in " ".join(found.out.split())


def test_evaluate_keeps_the_verdict_with_its_record(cli, masked, subject, tmp_path, monkeypatch):
    looking = importlib.import_module("saddlepoint.evaluation.second_look")
    monkeypatch.setattr(looking, "build_suite", lambda _, threat: {"fgsm": FGSM(threat)})
    large = [0.4 if word == 0.1 else word for word in masked]  # the first remedies fool all there
    asked = ("--adaptive", "--thorough", "--audit", 3)
    for words, judged in ((large, "broken"), (subject, "healthy")):
        out = tmp_path / judged
        found = cli("evaluate", *words, "--out", out, *asked, "--json")
        assert found.status == 0, found
        assert next(iter(found.json)) == "verdict"
        verdict = found.json["verdict"]
        assert verdict["verdict"] == judged
        assert [each["name"] for each in verdict["supplements"]] == ["adaptive", "second-look"]
        assert {"black-box", "more-steps"} <= {each["check"] for each in verdict["checks"]}
        assert len(verdict["supplements"][1]["numbers"]["ids"]) == 3
        assert json.loads((out / "evaluation.json").read_text())["verdict"] == verdict
    shown = cli("evaluate", *large, "--out", tmp_path / "broken", *asked)
    assert shown.out.startswith("verdict: broken")
    assert "straight through roundings" in shown.out
    assert "standard fools" in shown.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--bpda", "0"), "--bpda names modules for the remedies; give --adaptive too"),
        (("--surrogate-model", "zoo:simple-cnn"), "--surrogate-model needs its weights; give --surr"),
        (("--audit", "0"), "--audit"),
    ],
)  # fmt: skip
def test_options_without_what_they_need_are_refused(refused, subject, tmp_path, words, told):
    for command in (("diagnose",), ("evaluate", "--out", tmp_path / "out")):
        message = refused(*command, *subject, *words)
        assert told in message
        assert len(message.splitlines()) == 1
    assert not (tmp_path / "out/evaluation.json").exists()


def test_an_audit_of_more_than_survived_is_refused_and_the_record_kept(refused, subject, tmp_path):
    message = refused("evaluate", *subject, "--out", tmp_path / "out", "--audit", 100)
    assert "100 survivors are to be looked at and" in message
    record = Evaluation.load(tmp_path / "out")
    assert record.verdict.judgement == "healthy"
    assert record.verdict.supplements == ()


def test_a_module_that_is_none_is_refused_before_anything_is_run(refused, masked, tmp_path):
    words = ("--adaptive", "--bpda", "nothing")
    message = refused("evaluate", *masked, "--out", tmp_path / "out", *words)
    assert "nothing" in message
    assert not (tmp_path / "out" / "evaluation.json").exists()
