"""`--model-option`: options of zoo models and of own callables, in every command that builds one."""

from __future__ import annotations

import json

import pytest
from commandline import cli_fixture, refused_fixture  # noqa: F401

DIGITS = ("--data", "digits", "--limit", 12)
OWN = """
from torch import nn

def linear(classes, shape, scale=1):
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[1] * shape[2], classes * scale),
                         nn.Linear(classes * scale, classes))
"""


@pytest.fixture(name="training", scope="module")
def training_fixture(tmp_path_factory):
    from saddlepoint.cli import run

    out = tmp_path_factory.mktemp("option") / "training"
    words = [
        "train",
        "--data",
        "digits",
        "--limit",
        "16",
        "--model",
        "vit-micro",
        "--recipe",
        "standard",
    ]
    more = ["--model-option", "width=12", "--model-option", "depth=1", "--epochs", "1"]
    assert run([*words, *more, "--out", str(out)]) == 0
    return out


def identity(folder):
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))["config"]["identity"]


def test_a_training_remembers_them_and_its_weights_bring_them(cli, refused, training, tmp_path):
    assert identity(training)["model_options"] == {"width": 12, "depth": 1}
    attack = ("attack", *DIGITS, "--attack", "fgsm", "--eps", "0.1", "--model", "zoo:vit-micro")
    assert cli(*attack, "--weights", training, "--out", tmp_path / "a").status == 0
    assert identity(tmp_path / "a")["model_options"] == {"width": 12, "depth": 1}
    file = training / "model.safetensors"  # a file alone does not say them
    assert "does not fit the model" in refused(*attack, "--weights", file, "--out", tmp_path / "b")
    given = ("--model-option", "width=12", "--model-option", "depth=1")
    assert cli(*attack, "--weights", file, *given, "--out", tmp_path / "b").status == 0


def test_another_model_s_training_brings_none(refused, training, tmp_path):
    words = ("attack", *DIGITS, "--attack", "fgsm", "--eps", "0.1", "--weights", training)
    said = refused(*words, "--model", "simple-cnn", "--out", tmp_path / "a")
    assert "does not fit" in said
    assert "unknown option" not in said


def test_a_run_without_options_is_the_run_that_it_was(cli, tmp_path):
    words = ("attack", *DIGITS, "--attack", "fgsm", "--eps", "0.1", "--model", "simple-cnn")
    assert cli(*words, "--out", tmp_path / "a").status == 0
    assert "model_options" not in identity(tmp_path / "a")


def test_another_option_is_another_run(cli, refused, tmp_path):
    words = ("attack", *DIGITS, "--attack", "fgsm", "--eps", "0.1", "--model", "vit-micro")
    out = ("--out", tmp_path / "a")
    assert cli(*words, "--model-option", "patch=2", *out).status == 0
    assert "patch" in refused(*words, "--model-option", "patch=8", *out)


def test_a_callable_of_one_s_own_takes_them(cli, tmp_path):
    (tmp_path / "own.py").write_text(OWN, encoding="utf-8")
    model = ("--model", f"{tmp_path / 'own.py'}:linear", "--model-option", "scale=3")
    words = ("attack", *DIGITS, *model, "--attack", "fgsm", "--eps", "0.1", "--out", tmp_path / "a")
    assert cli(*words).status == 0
    assert identity(tmp_path / "a")["model_options"] == {"scale": 3}


@pytest.mark.parametrize(
    ("model", "option", "message"),
    [
        ("vit-micro", "ptch=2", "did you mean 'patch'"),
        ("vit-micro", "patch=2.5", "give a whole number of at least 1"),
        ("vit-micro", "patch", "write NAME=VALUE"),
        ("vit-micro", "patch=[2", "cannot read '[2'"),
        ("swin-micro", "depths=2,2,2,2", "depths"),
        ("timm:test_resnet", "patch=2", "takes no options"),
    ],
)
def test_what_cannot_be_is_refused_with_a_remedy(refused, tmp_path, model, option, message):
    if model.startswith("timm:"):
        pytest.importorskip("timm", reason="timm is not installed")
    words = ("attack", *DIGITS, "--model", model, "--model-option", option, "--attack", "fgsm")
    assert message in refused(*words, "--eps", "0.1", "--out", tmp_path / "a")
