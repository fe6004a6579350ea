"""`saddlepoint sample`: files, numbers, and refusals."""

import io
import re

import numpy as np
import pytest
import safetensors.torch
from commandline import *  # noqa: F403
from PIL import Image
from small import digits

GAME = ("train", "--data", "digits", "--limit", 64, "--model", "gan-mlp", "--model-option",
        "widths=16", "--recipe", "gan", "--epochs", 1)  # fmt: skip


def words(folder, out, *more):
    return ("sample", "--data", "digits", "--limit", 60, "--model", "gan-mlp", "--weights", folder,
            "--count", 30, "--out", out, *more)  # fmt: skip


@pytest.fixture(name="game")
def game_fixture(cli, tmp_path):
    out = tmp_path / "game"
    assert cli(*GAME, "--out", out).status == 0
    return out


def test_samples_are_drawn_and_measured_with_classes(cli, game, net, tmp_path):
    assert (game / "discriminator.safetensors").is_file()
    out = tmp_path / "samples"
    known = ("--classifier", net[0], "--classifier-weights", net[1])
    found = cli(*words(game, out, *known, "--json"))
    assert found.status == 0, found
    numbers = found.json
    assert sum(numbers["classes"].values()) == numbers["samples"] == 30
    assert not numbers["nearest"]["recites"]
    assert numbers["parzen"]["standard_error"] > 0
    images = safetensors.torch.load_file(out / "samples.safetensors")["images"]
    assert images.shape == (30, 1, 8, 8)
    assert Image.open(io.BytesIO((out / "samples.png").read_bytes())).size == (89, 26)
    page = (out / "sample.html").read_text(encoding="utf-8")
    assert not re.search(r"(?:src|href)=.(?!data:|#)", page)  # it needs nothing else
    # The same again is read, another seed draws others.
    assert cli(*words(game, out, *known, "--json")).json == numbers
    assert cli(*words(game, tmp_path / "other", "--seed", 1)).status == 0
    other = safetensors.torch.load_file(tmp_path / "other" / "samples.safetensors")["images"]
    assert float((other - images).abs().max()) > 0.01


def test_what_cannot_be_sampled_is_refused(refused, game, net, tmp_path):
    out = tmp_path / "samples"
    base = ("sample", "--data", "digits", "--out", out)
    assert "makes no images" in refused(*base, "--model", "simple-cnn", "--weights", game)
    assert "give --weights" in refused(*base, "--model", "gan-mlp")
    assert "is two options" in refused(*words(game, out, "--classifier", net[0]))
    wrong = ("sample", "--data", "mnist", "--out", out, "--model", "gan-mlp", "--weights", game)
    assert "images other than 1×28×28" in refused(*wrong)
    data = digits("test", 60)
    np.savez(tmp_path / "one.npz", x=data.pixels.numpy(), y=data.labels.numpy())
    one = ("sample", "--data", tmp_path / "one.npz", "--model", "gan-mlp", "--weights", game)
    assert "has no test images apart" in refused(*one, "--out", out)
    assert not out.exists()


def test_a_generator_is_no_classifier(refused, game, tmp_path):
    told = refused("evaluate", "--data", "digits", "--model", "gan-mlp", "--weights", game, "--eps",
                   "0.1", "--suite", "quick", "--out", tmp_path / "e")  # fmt: skip
    assert "makes images, and classifies none" in told
