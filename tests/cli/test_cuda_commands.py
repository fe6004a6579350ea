"""The commands on a CUDA device; skipped where there is none."""

from __future__ import annotations

import json

import pytest
import torch
from commandline import cli_fixture, net_fixture, refused_fixture  # noqa: F401

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")


def test_evaluate_and_attack_by_the_command_line(cli, net, tmp_path):
    words = ("--data", "digits", "--limit", 40, "--model", net[0], "--weights", net[1])
    found = {
        device: cli(
            "evaluate", *words, "--eps", "16/255", "--suite", "quick", "--device", device,
            "--out", tmp_path / f"e-{device}", "--json",
        )
        for device in ("cuda", "cuda:0", "cpu", "auto")
    }  # fmt: skip
    assert {outcome.status for outcome in found.values()} == {0}, found
    robust = [outcome.json["budgets"][0]["robust_accuracy"]["count"] for outcome in found.values()]
    assert len(set(robust)) == 1
    run = json.loads((tmp_path / "e-auto/run.json").read_text())
    assert run["environment"]["cuda"] == torch.cuda.get_device_name()
    for name in ("pgd", "deepfool", "fmn"):
        attacked = cli(
            "attack", *words, "--attack", name, "--norm", "linf", "--eps", "16/255", "--device",
            "cuda", "--out", tmp_path / name, "--png", "--json",
        )  # fmt: skip
        assert attacked.status == 0, attacked
    audited = cli(
        "rejudge", tmp_path / "pgd/adversarials.npz", *words[:2], *words[4:], "--eps", "16/255",
        "--device", "cuda", "--json",
    )  # fmt: skip
    assert audited.status == 0, audited


def test_a_device_that_is_not_there_is_refused(refused, net, tmp_path):
    message = refused(
        "evaluate", "--data", "digits", "--limit", 8, "--model", net[0], "--eps", "0.1",
        "--device", "cuda:99", "--out", tmp_path / "e",
    )  # fmt: skip
    assert "there is no cuda:99" in message


def test_train_by_the_command_line(cli, tmp_path):
    out = tmp_path / "t"
    words = (
        "train", "--data", "digits", "--limit", 200, "--model", "zoo:simple-cnn", "--recipe",
        "adversarial", "--epochs", 1, "--batch-size", 50, "--device", "cuda", "--out", out,
    )  # fmt: skip
    assert cli(*words).status == 0
    again = cli(*words, "--resume", "--json")
    assert again.status == 0, again
    evaluated = cli(
        "evaluate", "--data", "digits", "--limit", 40, "--model", "zoo:simple-cnn", "--weights",
        out, "--eps", "8/255", "--suite", "quick", "--device", "cpu", "--out", tmp_path / "e",
    )  # fmt: skip
    assert evaluated.status == 0, evaluated
