"""Weights, models and recipes that cannot be used: one or two lines, status 2, nothing run."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch
from commandline import cli_fixture, cnn_fixture, net_fixture, refused_fixture  # noqa: F401
from safetensors.torch import save_file
from small import trained
from words import COMMANDS, USER, evaluate, train


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


class Code:
    def __reduce__(self):
        return (os.mkdir, ("it-ran",))


def unsafe():
    torch.save({"state_dict": Code()}, "code.pt")
    return "code.pt"


def raw_pickle():
    with Path("raw.pth").open("wb") as file:
        pickle.dump(Code(), file)
    return "raw.pth"


def cut(name):
    save_file(trained().state_dict(), "whole.safetensors")
    torch.save(trained().state_dict(), "whole.pt")
    Path(name).write_bytes(Path(f"whole.{name.partition('.')[2]}").read_bytes()[:-100])
    return name


def with_nan():
    state = trained().state_dict()
    state["0.weight"][0, 0, 0, 0] = torch.nan
    save_file(state, "nan.safetensors")
    return "nan.safetensors"


def of_other_classes():
    last = {"4.weight": torch.ones(7, 128), "4.bias": torch.ones(7)}
    save_file({**trained().state_dict(), **last}, "other.safetensors")
    return "other.safetensors"


def of_other_keys():
    save_file({"a": torch.ones(1)}, "keys.safetensors")
    return "keys.safetensors"


def folder():
    Path("folder").mkdir()
    return "folder"


def rubbish():
    Path("rubbish.pt").write_bytes(os.urandom(300))
    return "rubbish.pt"


@pytest.mark.parametrize("words", COMMANDS)
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: "no.safetensors", "no file no.safetensors"),
        (folder, "folder is a folder; give the file of weights in it"),
        (unsafe, "code.pt holds pickled code"),
        (raw_pickle, "raw.pth"),
        (lambda: cut("half.safetensors"), "half.safetensors is not a whole safetensors file"),
        (lambda: cut("half.pt"), "half.pt is not a whole PyTorch file"),
        (rubbish, "rubbish.pt is not a whole PyTorch file"),
        (with_nan, "0.weight holds NaN"),
        (of_other_classes, "was it built for"),
        (of_other_keys, "keys.safetensors"),
    ],
)
def test_weights(refused, net, words, make, message):
    assert message in refused(*words(model=net[0], weights=make()))
    assert not Path("it-ran").exists()
    assert not Path("out").exists()


# Models


@pytest.mark.parametrize("words", COMMANDS)
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pair", "the model returns a tuple of 0 "),
        ("nan", "the model returns NaN or infinite logits"),
        ("whole", "logits have shape"),
        ("few", "but the model has 4 classes: use 0 … 3"),
        ("one", "one logit per image"),
        ("bigger", "the model cannot take images of shape (1, 8, 8)"),
        ("number", "returned a int; return a torch.nn.Module"),
        ("fails", "failed: RuntimeError: no luck"),
        ("needs", "needs the argument 'secret'"),
        ("bager", "did you mean 'bigger'?"),
    ],
)
def test_models(refused, words, name, message):
    Path("mine.py").write_text(USER)
    assert message in refused(*words(model=f"mine.py:{name}"))


def test_a_model_for_other_channels(refused):
    Path("mine.py").write_text(USER.replace("nn.LazyLinear(10)", "nn.Linear(144, 10)"))
    for words in COMMANDS:
        message = refused(*words(model="mine.py:colour"))
        assert "the model cannot take images of shape (1, 8, 8)" in message


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("words", COMMANDS)
def test_probabilities_are_warned_of(cli, words):
    Path("mine.py").write_text(USER)
    found = cli(*words(model="mine.py:probabilities"), "--json")
    assert found.status == 0
    assert found.err.splitlines()[0].startswith("warning: the model's outputs are all in [0, 1]")
    assert "Traceback" not in found.err
    assert found.json


@pytest.mark.parametrize("content", ["def net(:", "import nothing_of_that_name", "1 / 0", "\x00"])
def test_files_that_are_no_models(refused, content):
    Path("broken.py").write_text(content)
    assert "broken.py cannot be run" in refused(*evaluate(model="broken.py:net"))


# Recipes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"epochs: many", "epochs is 'many'"),
        (b"epochz: 3", "unknown field 'epochz'; did you mean 'epochs'?"),
        (b"\xff\xff", "not text in UTF-8"),
        (b"a: [", "not valid YAML"),
    ],
)
def test_recipes(refused, content, message):
    Path("my.yaml").write_bytes(content)
    assert message in refused(*train(recipe="my.yaml"))
    assert not Path("out").exists()
