"""Data, names and numbers that cannot be used: one or two lines, status 2, nothing lost."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from commandline import cli_fixture, cnn_fixture, net_fixture, refused_fixture  # noqa: F401
from sampled import mostly_slow
from small import digits
from words import COMMANDS, LABELS, PIXELS, archive, attack, evaluate, train


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# Data


@pytest.mark.parametrize("words", COMMANDS)
@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (PIXELS.astype(np.float32), LABELS, r"data.npz: images span 0 … 255; they must lie in [0, 1]"),
        (PIXELS / 255.0 * 2 - 1, LABELS, "images span -1 … 1; they must lie in [0, 1]"),
        (PIXELS.astype(np.int64) * 2, LABELS, "integers must lie in 0 … 255"),
        (np.where(PIXELS > 250, np.nan, PIXELS / 255.0), LABELS, "holds NaN or an infinity"),
        (PIXELS, LABELS - 1, "is negative; labels are 0 … K-1"),
        (PIXELS, LABELS.astype(float), "labels are float64"),
        (PIXELS, LABELS[:-1], "24 images but 23 labels"),
        (PIXELS[:0], LABELS[:0], "there are none"),
        (PIXELS, np.array([None] * 24), "holds pickled objects, which could run code"),
    ],
)  # fmt: skip
def test_images_and_labels(refused, words, images, labels, message):
    assert message in refused(*words(archive(x=images, y=labels)))
    assert not Path("out").exists()


def test_other_keys_and_files_that_are_no_data(refused):
    assert "expected images and labels" in refused(*evaluate(archive(a=PIXELS)))
    Path("half.npz").write_bytes(Path("data.npz").read_bytes()[:300])
    assert "half.npz is not a whole .npz archive" in refused(*evaluate("half.npz"))
    Path("binary.parquet").write_bytes(os.urandom(500))
    assert "binary.parquet" in refused(*evaluate("binary.parquet"))
    Path("data.bin").write_bytes(b"x")
    assert "neither a folder nor" in refused(*evaluate("data.bin"))
    assert "no file no/such.npz" in refused(*evaluate("no/such.npz"))


def test_a_folder_with_an_unreadable_image_names_it(refused):
    from PIL import Image

    for name in ("a", "b"):
        Path("images", name).mkdir(parents=True)
        for i in range(2):
            Image.fromarray(PIXELS[i, 0]).save(f"images/{name}/{i}.png")
    Path("images/b/1.png").write_bytes(b"no picture")
    assert "images/b/1.png" in refused(*evaluate("images"))
    Path("empty").mkdir()
    assert "empty" in refused(*evaluate("empty"))


# Names and numbers


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (evaluate("digit"), "unknown data set 'digit'; did you mean 'digits'"),
        (evaluate(model="zoo:simple-cn"), "did you mean 'simple-cnn'"),
        (evaluate(model="resnet"), "unknown model 'resnet'"),
        (evaluate(model="net.py"), "names nothing in the file; write net.py:NAME"),
        (evaluate(model="net.py:net"), "no file net.py"),
        (evaluate(suite="standart"), "did you mean 'standard'"),
        (evaluate(norm="l-inf"), "did you mean 'linf'"),
        (evaluate(norm="l0", eps="3", suite="rand"), "rand has no L0 form"),
        (attack(norm="l0", eps="1.5", attack="uniform-noise"), "whole number"),
        (evaluate(space="pixel"), "did you mean 'pixels'"),
        (evaluate(split="tests"), "did you mean 'test'"),
        (evaluate(device="gpu"), "unknown device 'gpu'"),
        (evaluate(device="cpu:x"), "unknown device 'cpu:x'"),
        (evaluate(normalisation="mine"), "unknown normalisation 'mine'"),
        (evaluate(normalisation="imagenet"), "imagenet normalisation is for 3 channels"),
        (attack(attack="pgdd"), "unknown attack 'pgdd'; did you mean 'pgd'"),
        (attack(set="steps"), "--set steps: write NAME=VALUE"),
        (attack(set="=3"), "write NAME=VALUE"),
        (attack(set="steps=two"), "steps is 'two'"),
        (attack(set="steps=0"), "steps is 0; give at least 1"),
        (attack(set="step=1"), "did you mean 'steps'"),
        (attack(set="step_size=1/0"), "'1/0'"),
        (attack(target=10), "target is 10; the classes are 0 … 9"),
        (attack(target="three"), "'--target'"),
        (train(recipe="standart"), "did you mean 'standard'"),
        (train(recipe="no.yaml"), "cannot read the recipe no.yaml"),
        (train(augmentation="flip"), "unknown augmentation 'flip'"),
        (train(track="tensorbord"), "did you mean 'tensorboard'"),
        (train(learning_rate="-1"), "learning_rate is -1.0"),
        (train(learning_rate="nan"), "learning_rate is nan"),
        (["trian"], "No such command 'trian'"),
        (["evaluate", "--nope"], "No such option"),
        (["evaluate"], "Missing option '--data'"),
    ],
)
def test_names_and_values(refused, words, message):
    assert message in refused(*words)


@pytest.mark.parametrize("words", [evaluate, attack])
@pytest.mark.parametrize(
    "eps", ["-1", "-8/255", "nan", "inf", "eight", "1/0", "1e999", "8/255/2", "8 / x"]
)
def test_budgets(refused, words, eps):  # fmt: skip
    message = refused(*words(eps=eps))
    assert "eps is " in message
    assert "give a positive number or fraction" in message
    assert not Path("out").exists()


@pytest.mark.parametrize("words", [evaluate, attack])
@pytest.mark.parametrize(
    ("norm", "eps", "message"),
    [
        ("linf", "8", "eps is 8, more than the range of pixels allows, 1; did you mean 8/255?"),
        ("l2", "128", "eps is 128, more than the range of pixels allows, 8; did you mean 128/255?"),
        ("l1", "65", "eps is 65, more than the range of pixels allows, 64"),
    ],
)
def test_budgets_wider_than_the_range(refused, words, norm, eps, message):
    assert message in refused(*words(norm=norm, eps=eps))
    assert not Path("out").exists()


def test_a_recipe_or_saved_images_with_a_budget_wider_than_the_range(refused):
    np.savez("saved.npz", x=digits("test", 4).pixels.numpy())
    shared = ["--data", "digits", "--model", "zoo:simple-cnn"]
    assert "did you mean 8/255?" in refused("rejudge", "saved.npz", *shared, "--eps", "8")
    for norm, eps in (("linf", 8), ("l2", 128)):
        inner = f"attack: {{name: pgd, norm: {norm}, eps: {eps}}}"
        Path("r.yaml").write_text(f"objective: {{name: adversarial-training, {inner}}}\n")
        assert f"did you mean {eps}/255?" in refused(*train(recipe="r.yaml"))


@pytest.mark.parametrize("eps", mostly_slow(["0", "0/255"], quick=["0/255"]))
def test_a_budget_of_0_is_the_clean_accuracy(cli, eps):
    found = cli(*evaluate(eps=eps), "--json")
    assert found.status == 0, found
    assert found.json["budgets"][0]["robust_accuracy"] == found.json["clean_accuracy"]
    for name in ("pgd", "fgsm", "apgd", "square"):
        found = cli(*attack(eps=eps, attack=name, out=name), "--json")
        assert found.status == 0, found
        assert found.json["attack_success_rate"]["value"] == 0


@pytest.mark.parametrize("words", COMMANDS)
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("limit", "0"), ("limit", "-3"), ("limit", "x"), ("batch_size", "0"), ("batch_size", "-1"),
        ("threads", "0"), ("seed", "-1"), ("seed", str(2**32)), ("seed", str(2**80)),
        ("seed", "1.5"), ("image_size", "0"),
    ],
)  # fmt: skip
def test_numbers_out_of_range_are_refused_before_anything_starts(refused, words, option, value):
    assert f"'--{option.replace('_', '-')}'" in refused(*words(**{option: value}))
    assert not Path("out").exists()


@pytest.mark.parametrize("value", ["0", "-2"])
def test_numbers_of_single_commands(refused, value):
    assert "--epochs" in refused(*train(epochs=value))
    assert "--epochs" in refused("demo", "--epochs", value)
    assert "--limit" in refused("demo", "--limit", value)
    assert "--eot-samples" in refused(*evaluate(eot_samples=value))


@pytest.mark.parametrize("option", ["data", "model", "out", "eps", "weights", "suite", "device"])
def test_empty_words(refused, option):
    assert "an argument is empty" in refused(*evaluate(**{option: ""}))
    assert list(Path().iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is there")
@pytest.mark.parametrize("words", COMMANDS)
@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:7"])
def test_cuda_asked_for_and_absent(refused, words, device):
    assert "CUDA was asked for, but torch finds no CUDA device" in refused(*words(device=device))
    assert not Path("out").exists()
