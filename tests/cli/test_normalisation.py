"""Which constants a model divides by: those it was trained with, those asked for, or a note."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from commandline import cli_fixture, cnn_fixture, net_fixture, refused_fixture  # noqa: F401
from small import digits, trained
from words import attack, evaluate, train

from saddlepoint.model import Normalised
from saddlepoint.zoo import build_model, save_weights

OWN = """
import torch
from torch import nn

class Shifted(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x * MEAN_STD[1] + MEAN_STD[0])

def net(classes):
    return Shifted(nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(128, classes),
    ))
"""


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def constants(found):
    return found.json["config"]["identity"]["normalisation"]


def test_mean_and_std_are_taken_and_recorded_by_every_command(cli, net):
    given = {"model": net[0], "weights": net[1], "mean": "0.25", "std": "0.5", "limit": 8}
    told = {"mean": [0.25], "std": [0.5]}
    for words in (evaluate, attack):
        found = cli(*words(**given, out=words.__name__), "--json")
        assert found.status == 0, found
        assert constants(found) == told
        identity = found.json["config"]["identity"]
        assert identity["weights"]["file"] == str(net[1])
    assert cli(*train(**given, out="t")).status == 0
    run = json.loads(Path("t/run.json").read_text())
    assert run["config"]["identity"]["normalisation"] == told
    audit = ["rejudge", "attack/adversarials.npz", "--data", "digits", "--model", net[0]]
    audit += ["--weights", net[1], "--mean", 0.25, "--std", 0.5, "--json"]
    assert cli(*audit).json["subject"]["normalisation"] == told
    # And they are what the model divides by.
    plain = cli(*evaluate(**{**given, "mean": "0", "std": "1"}, out="p"), "--json").json
    other = cli(*evaluate(**{**given, "mean": "0.9", "std": "0.05"}, out="o"), "--json").json
    assert plain["clean_accuracy"] != other["clean_accuracy"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mean": "0.5"}, "one of --mean and --std"),
        ({"mean": "0.5,0.5", "std": "0.2,0.2"}, "2 numbers for images of 1 channels"),
        ({"mean": "33", "std": "78"}, "divide by 255"),
        ({"mean": "0.5", "std": "0"}, "scale"),
        ({"mean": "nan", "std": "1"}, "scale"),
        ({"mean": "a", "std": "b"}, "give numbers"),
        ({"mean": "0.5", "std": "0.2", "normalisation": "data"}, "exclude each other"),
    ],
)
def test_constants_that_cannot_be_are_refused(refused, options, message):
    assert message in refused(*evaluate(**options))


def test_a_checkpoint_keeps_the_constants_it_was_trained_with(cli, refused):
    given = {"mean": "0.25", "std": "0.125", "limit": 64}
    assert cli(*train(**given, out="t")).status == 0
    told = {"mean": [0.25], "std": [0.125]}
    for weights in ("t", "t/model.safetensors"):
        found = cli(*evaluate(weights=weights, out=f"e-{len(weights)}"), "--json")
        assert constants(found) == told
    for asked in ({"normalisation": "data"}, {"mean": "0.5", "std": "0.5"}):
        message = refused(*evaluate(weights="t", out="x", **asked))
        assert "trained with mean (0.25) and std (0.125)" in message
    # Also where it was trained without any.
    assert cli(*train(normalisation="none", out="n", limit=64)).status == 0
    for weights in ("n", "n/model.safetensors"):
        found = cli(*evaluate(weights=weights, out=f"n-{len(weights)}"), "--json")
        assert constants(found) is None
        assert "was trained without normalisation" in found.err


def test_a_surrogate_keeps_its_own_constants(cli, cnn):
    words = {"model": cnn[0], "weights": cnn[1], "surrogate": "own.safetensors", "limit": 8}
    own = Normalised(build_model(cnn[0], classes=10, shape=(1, 8, 8)), (0.9,), (0.1,))
    save_weights(own, Path("own.safetensors"))
    assert cli(*attack(**words)).status == 0


def test_a_file_that_runs_without_normalisation_and_does_badly_gets_a_note(cli, tmp_path, net):
    data = digits("test", 8)
    state = {f"net.{key}": value for key, value in trained().state_dict().items()}
    torch.save(state, "own.pt")
    constants = f"\nMEAN_STD = ({data.mean[0]}, {data.std[0]})\n"
    (tmp_path / "own.py").write_text(OWN + constants)
    words = {"model": "own.py:net", "weights": "own.pt", "limit": 200}
    found = cli(*evaluate(**words, eps="1/255", suite="quick"))
    assert found.status == 0, found
    (line,) = [each for each in found.err.splitlines() if "without normalisation" in each]
    assert "own.py:net runs without normalisation and is right on" in line
    assert "of 200 images; with --normalisation data on" in line
    assert "(a look of 3 passes over 200 images)" in line
    # One that does well, or is told what to do, gets none.
    for options in ({"model": net[0], "weights": net[1]}, {**words, "normalisation": "data"},
                    {**words, "normalisation": "none"}):  # fmt: skip
        done = cli(
            *evaluate(**{"limit": 200, **options}, out=f"o{len(options)}{options['model'][:3]}")
        )
        assert "without normalisation and" not in done.err


@pytest.mark.parametrize("std", ["1e-300", "1e-40"])
def test_a_deviation_that_float32_has_not_is_refused_before_anything_is_written(refused, std):
    words = {"model": "zoo:simple-cnn", "mean": "0.5", "std": std, "limit": 4, "out": "o"}
    assert f"--std {std}" in refused(*evaluate(**words, suite="quick"))
    assert not Path("o").exists()
