"""Plug-ins that do not do what they should: told in a line, and never taken for robustness."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from cli.commandline import cli_fixture  # noqa: F401
from torch import nn

from saddlepoint.attacks import build_attack, parse_criterion
from saddlepoint.errors import InputError
from saddlepoint.plugins import parameter_types
from saddlepoint.threat import Linf

BAD = """
import sys
from dataclasses import dataclass
import torch
from torch import nn
from saddlepoint.attacks import PGD, FixedBudget, Misclassified

def attack(body):
    @dataclass(frozen=True, kw_only=True)
    class Own(FixedBudget):
        def perturb(self, batch, tracker):
            body(batch, tracker)
    return Own

def record(batch, tracker, x):
    tracker.record(batch, x, batch.logits(x))

def fails(batch, tracker):
    raise ValueError("boom")

def trains(batch, tracker):
    batch.guard.model.train()
    record(batch, tracker, batch.project(batch.images + 1e-4))

Nothing = attack(lambda batch, tracker: None)
Outside = attack(lambda batch, tracker: record(batch, tracker, 1 - batch.images))
Fails = attack(fails)
Prints = attack(lambda batch, tracker: print("hello") or fails(batch, tracker))
Exits = attack(lambda batch, tracker: sys.exit(3))
Trains = attack(trains)
def nothing(threat) -> PGD: ...

class Whole(Misclassified):
    def margin(self, logits, labels): return super().margin(logits, labels).mean()

class NoStep:
    def accumulate(self, model, batch): return None
def boom(model): raise ValueError("boom")
def vector(model): return torch.ones(3)
def text(model): return "much"
def lost(model): return None
"""


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("bad.py").write_text(BAD)


def net():
    """Two classes; in training mode nearly everything is dropped."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.Linear(16, 2)).eval()


IMAGES = torch.rand(12, 1, 4, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Nothing", "offered no changed image for any of 12 images: their robustness is not to be"),
        ("Outside", "left the budget, the range or the mask for 12 of 12 images, or offered NaN"),
    ],
)
def test_an_attack_that_offers_nothing_is_not_taken_for_robustness(name, told):
    labels = net()(IMAGES).argmax(1)
    with pytest.warns(UserWarning, match=told):
        result = build_attack(f"bad.py:{name}", Linf(1e-3))(net(), IMAGES, labels)
    assert not result.success.any()


def test_an_attack_is_judged_in_evaluation_mode_whatever_it_did():
    model = net()
    labels = model(IMAGES).argmax(1)
    result = build_attack("bad.py:Trains", Linf(1e-4))(model, IMAGES, labels)
    assert not result.success.any()  # so small a change fools nothing, and dropout would
    assert not model.training


SUBJECT = ["--data", "digits", "--model", "zoo:simple-cnn", "--limit", "40", "--out", "out"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["attack", "--attack", "bad.py:Fails"], "bad.py: ValueError: boom (in fails, line"),
        (["attack", "--attack", "bad.py:Exits"], "bad.py: SystemExit: 3 (in <lambda>, line"),
        (["attack", "--attack", "bad.py:nothing"], "bad.py:nothing returned None; return the attack"),
        (["train", "--objective", "bad.py:NoStep"], "objective NoStep returned None; return a StepOutput"),
        (["train", "--penalty", "bad.py:boom=1"], "bad.py: ValueError: boom (in boom, line"),
        (["train", "--penalty", "bad.py:vector=1"], "penalty vector returned (3,); return a scalar"),
        (["train", "--penalty", "bad.py:text=1"], "penalty text returned 'much'; return a scalar"),
        (["train", "--transform", "bad.py:lost"], "transform lost returned None; return the changed"),
    ],
)  # fmt: skip
def test_what_fails_in_a_plugin_is_one_line(cli, words, message):
    own = ["--eps", "0.1"] if words[0] == "attack" else ["--recipe", "standard"]
    found = cli(*words, *own, *SUBJECT)
    assert found.status == 2
    assert message in found.err.splitlines()[-1]


def test_json_is_one_document_whatever_a_plugin_prints(cli):
    found = cli("attack", "--attack", "bad.py:Prints", "--eps", "0.1", *SUBJECT, "--json")
    assert found.status == 2
    assert json.loads(found.out)["error"]["exit_code"] == 2
    assert "hello" in found.err


def test_a_margin_of_another_shape_is_refused():
    with pytest.raises(InputError, match=r"margin returned \(\) for 2 images"):
        parse_criterion("bad.py:Whole")


def test_what_is_not_annotated_has_the_type_of_its_default():
    def build(threat, steps=3, rate=0.5, other=None): ...

    assert list(parameter_types(build).values())[1:3] == [int, float]
