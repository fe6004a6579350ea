"""The fixtures of the tests of the command line; each test file imports all of them."""

from __future__ import annotations

import json
import re

import pytest
from small import digits, trained

from saddlepoint.cli import run
from saddlepoint.model import Normalised
from saddlepoint.zoo import save_weights

NET = """
import torch
from torch import nn

def net(classes):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(128, classes),
    )
"""


class Outcome:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    def __repr__(self):
        return f"exit {self.status}\n{self.out}\n{self.err}"

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture(name="cli")
def cli_fixture(capsys):
    """Run a command; the outcome has its exit status and its two streams."""

    def call(*words):
        status = run([str(word) for word in words])
        captured = capsys.readouterr()
        return Outcome(status, captured.out, captured.err)

    capsys.readouterr()
    return call


@pytest.fixture(name="refused")
def refused_fixture(cli):
    """Run a command that must fail for its input; return the message."""

    def call(*words):
        found = cli(*words)
        assert found.status == 2, found
        assert found.out == ""
        # On a slow machine a line of progress may come first.
        shown = re.compile(r"note: |\d+ of \d+")
        errors = [line for line in found.err.splitlines() if not shown.match(line)]
        assert errors, found
        assert errors[0].startswith("error: "), found
        assert len(errors) <= 2, found
        assert "Traceback" not in found.err
        return "\n".join(errors)

    return call


@pytest.fixture(name="net")
def net_fixture(tmp_path):
    """A user's file with a small network, and weights for it: 96 % of digits."""
    file = tmp_path / "net.py"
    file.write_text(NET)
    weights = save_weights(trained(), tmp_path / "net.safetensors")
    return f"{file}:net", weights


@pytest.fixture(name="cnn")
def cnn_fixture(tmp_path):
    """Weights of the zoo's CNN, with the normalisation inside; not trained."""
    from saddlepoint.zoo import build_model

    data = digits()
    model = Normalised(build_model("simple-cnn", classes=10, shape=data.shape), data.mean, data.std)
    return "zoo:simple-cnn", save_weights(model, tmp_path / "cnn.safetensors")
