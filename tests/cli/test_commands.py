"""Every command does its work on digits, and prints what a person or a machine expects."""

from __future__ import annotations

import json
import os

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from commandline import cli_fixture, cnn_fixture, net_fixture, refused_fixture  # noqa: F401
from PIL import Image
from small import command, digits, finish, start, trained

from saddlepoint.cli import run
from saddlepoint.zoo import load_weights

DIGITS = ("--data", "digits", "--limit", 40)


def model_of(pair):
    return ("--model", pair[0], "--weights", pair[1])


def test_train_writes_weights_that_evaluate_reads(cli, tmp_path):
    out = tmp_path / "rün ✓"
    found = cli(
        "train", *("--data", "digits", "--limit", 200), "--model", "zoo:simple-cnn",
        "--recipe", "standard", "--epochs", 2, "--batch-size", 32, "--out", out,
    )  # fmt: skip
    assert found.status == 0, found
    assert "weights " in found.out
    assert "test accuracy" in found.out
    assert found.err.startswith("training zoo:simple-cnn on 200 images of digits by standard")
    lines = (out / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]
    again = cli(
        "evaluate", *DIGITS, "--model", "zoo:simple-cnn", "--weights", out / "model.safetensors",
        "--eps", "8/255", "--suite", "quick", "--out", tmp_path / "e", "--json",
    )  # fmt: skip
    assert again.status == 0, again
    assert again.json["clean_accuracy"]["total"] == 40


def test_train_in_json_says_everything_and_nothing_else(cli, tmp_path, net):
    found = cli(
        "train", *DIGITS, "--model", net[0], "--recipe", "adversarial", "--epochs", 1,
        "--learning-rate", 0.05, "--augmentation", "crop", "--out", tmp_path / "a", "--json",
    )  # fmt: skip
    assert (found.status, found.err) == (0, ""), found
    told = found.json
    assert set(told) == {
        "weights", "model", "normalisation", "data", "epochs", "loss", "accuracy", "test_accuracy",
        "seconds",
    }  # fmt: skip
    recipe = json.loads((tmp_path / "a/run.json").read_text())["config"]["recipe"]
    assert recipe["optimiser"]["learning_rate"] == 0.05
    assert recipe["augmentation"] == "crop"
    assert recipe["objective"]["attack"]["steps"] == 10
    model = trained()
    load_weights(model, tmp_path / "a/model.safetensors")


def test_a_source_of_one_set_has_no_test_accuracy(cli, tmp_path, net):
    data = digits("test", 60)
    np.savez(tmp_path / "one.npz", x=data.pixels.numpy(), y=data.labels.numpy())
    arguments = ("train", "--data", tmp_path / "one.npz", "--model", net[0], "--recipe", "standard",
                 "--epochs", 1)  # fmt: skip
    found = cli(*arguments, "--out", tmp_path / "a", "--json")
    assert found.json["test_accuracy"] is None
    assert "no test images apart" in found.err
    assert cli(*arguments, "--out", tmp_path / "b").status == 0


def test_evaluate_tells_one_story_on_the_screen_in_json_and_in_the_files(cli, tmp_path, net):
    words = (
        "evaluate", *DIGITS, *model_of(net), "--eps", "16/255", "--eps", "48/255",
        "--suite", "quick", "--out", tmp_path / "e",
    )  # fmt: skip
    first, second = cli(*words, "--json"), cli(*words)
    assert (first.status, second.status, first.err, second.err) == (0, 0, "", "")
    told = first.json
    record = json.loads((tmp_path / "e/evaluation.json").read_text())
    assert {key: told[key] for key in record} == record
    assert told["files"]["record"] == str(tmp_path / "e/evaluation.json")
    for budget in told["budgets"]:
        assert f"{100 * budget['robust_accuracy']['value']:.1f} %" in second.out
    assert "16/255" in second.out
    assert str(tmp_path / "e/images.parquet") in second.out.replace("\n", "")
    assert Image.open(tmp_path / "e/accuracy.png").size[0] > 300
    assert pq.read_table(tmp_path / "e/images.parquet").num_rows == 80


def test_attack_writes_images_that_fool_and_a_figure(cli, tmp_path, net):
    out = tmp_path / "a"
    found = cli(
        "attack", *DIGITS, *model_of(net), "--attack", "pgd", "--norm", "l2", "--eps", "1/2",
        "--set", "steps=5", "--set", "step-size=1/4", "--png", "--out", out, "--json",
    )  # fmt: skip
    assert (found.status, found.err) == (0, ""), found
    told = found.json
    assert told == json.loads((out / "attack.json").read_text())
    assert told["config"]["attack"]["steps"] == 5
    assert told["config"]["attack"]["step_size"] == 0.25
    assert told["config"]["threat"] == "L2 0.5"
    assert len(list((out / "png").glob("*.png"))) == 40
    assert Image.open(out / "examples.png").size[0] > 300
    with np.load(out / "adversarials.npz", allow_pickle=False) as arrays:
        after = torch.from_numpy(arrays["adversarials"])
        fooled = trained()(after).argmax(1) != torch.from_numpy(arrays["labels"])
    assert int(fooled.sum()) == 40 - told["robust_accuracy"]["count"]


def test_attack_prints_a_table_and_where_everything_is(cli, tmp_path, net):
    found = cli(
        "attack", *DIGITS, *model_of(net), "--attack", "fgsm", "--eps", "8/255", "--png",
        "--target", 3, "--out", tmp_path / "a",
    )  # fmt: skip
    assert (found.status, found.err) == (0, ""), found
    assert "accuracy under attack" in found.out
    assert "after rounding to 8 bits" in found.out
    for name in ("attack.json", "images.parquet", "adversarials.npz", "examples.png"):
        assert name in found.out
        assert (tmp_path / "a" / name).exists()


def test_images_that_cannot_be_drawn_can_be_attacked(cli, tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "two.npz", x=rng.random((12, 2, 8, 8), np.float32), y=np.arange(12) % 3)
    found = cli(
        "attack", "--data", tmp_path / "two.npz", "--model", "zoo:simple-cnn", "--attack", "fgsm",
        "--eps", "8/255", "--out", tmp_path / "a",
    )  # fmt: skip
    assert found.status == 0, found
    assert "figure" not in found.out
    assert (tmp_path / "a/attack.json").exists()


def test_budgets_in_normalised_space(cli, tmp_path, cnn):
    found = cli(
        "evaluate", *DIGITS, *model_of(cnn), "--eps", "8/255", "--space", "normalised",
        "--suite", "quick", "--out", tmp_path / "e", "--json",
    )  # fmt: skip
    assert found.status == 0, found
    assert found.json["config"]["space"] == "normalised"


def test_a_model_without_weights_is_noted(cli, tmp_path):
    words = (*DIGITS, "--model", "zoo:simple-cnn", "--eps", "8/255", "--json")
    found = cli("evaluate", *words, "--suite", "quick", "--out", tmp_path / "e")
    assert found.err == "note: no --weights: this is a model with random weights\n"
    found = cli("attack", *words, "--attack", "fgsm", "--out", tmp_path / "a")
    assert "random weights" in found.err


@pytest.mark.parametrize("name", ["attacks", "models", "data", "corruptions", "recipes"])
def test_the_lists(cli, name):
    found, told = cli(name), cli(name, "--json")
    assert (found.status, found.err, told.err) == (0, "", "")
    rows = told.json
    assert len(rows) >= 4
    for row in rows:
        first = next(iter(row.values()))
        assert first in found.out


def test_the_lists_give_the_papers(cli):
    assert "arXiv:1706.06083" in cli("attacks").out
    assert "zoo:simple-cnn" in cli("models").out


def test_the_models_have_costs_where_they_are_asked_for(cli, refused, tmp_path):
    rows = {row["model"]: row for row in cli("models", "--costs", "--json").json}
    (cost,) = (value for name, value in rows["zoo:resnet20"].items() if name.startswith("cost"))
    assert cost == "0.27 M weights, 41 M multiply-adds"
    assert "--costs is of the built-in models" in refused("models", "--costs", "--root", tmp_path)


def test_the_demo_leaves_its_table_and_its_files(cli, tmp_path):
    words = ("demo", "--epochs", 1, "--limit", 16, "--out", tmp_path / "demo")
    found = cli(*words)
    assert found.status == 0, found
    assert found.out.count("normal") >= 4
    assert found.out.count("adversarial") >= 4
    for name in ("examples.png", "curve.png", "images.parquet", "demo.json"):
        path = tmp_path / "demo" / name
        assert path.stat().st_size > 1000
        assert str(path) in found.out.replace("\n", "")
    told = json.loads((tmp_path / "demo/demo.json").read_text())
    assert set(told["models"]) == {"normal", "adversarial"}
    assert [round(255 * b["eps"]) for b in told["models"]["normal"]["budgets"]] == [16, 32, 48, 64]
    assert set(pq.read_table(tmp_path / "demo/images.parquet")["model"].to_pylist()) == {
        "normal", "adversarial",
    }  # fmt: skip
    again = cli(*words, "--json")
    assert (again.status, again.err) == (0, "")
    for name, each in again.json["models"].items():
        assert {**each, "seconds": 0} == {**told["models"][name], "seconds": 0}


def test_no_arguments_show_the_help(cli):
    found = cli()
    assert found.out.startswith("Usage: saddlepoint ")
    assert found.err == ""


@pytest.mark.parametrize(
    "name", ["train", "attack", "evaluate", "compare", "demo", "attacks", "models"]
)
def test_every_command_has_help(cli, name):
    found = cli(name, "--help")
    assert (found.status, found.err) == (0, "")
    assert found.out.startswith(f"Usage: saddlepoint {name}")


def weight_files(tmp_path):
    state = trained().state_dict()
    wrapped = {"state_dict": {f"module.{key}": value for key, value in state.items()}, "epoch": 3}
    torch.save(state, tmp_path / "plain.pt")
    torch.save(wrapped, tmp_path / "wrapped.pth")
    return tmp_path / "plain.pt", tmp_path / "wrapped.pth"


def test_the_same_weights_in_three_kinds_of_files_give_the_same_numbers(cli, tmp_path, net):
    records = []
    for path in (net[1], *weight_files(tmp_path)):
        found = cli(
            "evaluate", *DIGITS, "--model", net[0], "--weights", path, "--eps", "16/255",
            "--suite", "quick", "--out", tmp_path / path.stem, "--json",
        )  # fmt: skip
        assert (found.status, found.err) == (0, ""), found
        told = found.json
        weights = told["config"]["identity"].pop("weights")
        assert weights["file"] == str(path)
        assert len(weights["fingerprint"]) == 16
        records.append({**told, "seconds": 0, "files": 0})
    assert records[0] == records[1] == records[2]


def test_training_goes_on_from_weights_and_resumes_to_the_same(cli, tmp_path, net):
    words = ("train", *DIGITS, *model_of(net), "--recipe", "standard", "--batch-size", 16)
    assert cli(*words, "--epochs", 2, "--out", tmp_path / "a").status == 0
    assert "pass --resume" in cli(*words, "--epochs", 2, "--out", tmp_path / "a").err
    found = cli(*words, "--epochs", 2, "--out", tmp_path / "a", "--resume", "--json")
    assert found.status == 0, found
    assert found.json["epochs"] == 2


def test_streams_of_a_process_that_is_stopped(tmp_path, net):
    """SIGTERM in training: 143, one line that says --resume; then the same bits."""
    words = [
        "train", "--data", "digits", "--limit", 320, "--model", net[0], "--recipe", "standard",
        "--epochs", 12, "--batch-size", 16,
    ]  # fmt: skip
    for number, name in ((15, "SIGTERM"), (2, "SIGINT")):
        out = tmp_path / name
        process = start(
            command, [*words, "--out", out], tmp_path / f"{name}.out", tmp_path / f"{name}.err"
        )
        while process.is_alive() and not list(out.glob("checkpoints/epoch-*")):
            process.join(0.01)
        os.kill(process.pid, number)
        process.join()
        assert process.exitcode == 128 + number
        assert (tmp_path / f"{name}.out").read_text() == ""
        last = (tmp_path / f"{name}.err").read_text().splitlines()[-1]
        assert last == f"stopped by {name} after a checkpoint; go on with --resume"
        assert "Traceback" not in (tmp_path / f"{name}.err").read_text()
        files = tmp_path / "o", tmp_path / "e"
        assert finish(command, [*words, "--out", out, "--resume"], *files) == 0
    first, second = (tmp_path / name / "model.safetensors" for name in ("SIGTERM", "SIGINT"))
    assert first.read_bytes() == second.read_bytes()


def test_ctrl_c_in_an_evaluation_is_no_traceback(tmp_path, net):
    words = [
        "evaluate", "--data", "digits", *model_of(net), "--eps", "1/255", "--eps", "2/255",
        "--suite", "standard", "--out", tmp_path / "e",
    ]  # fmt: skip
    process = start(command, words, tmp_path / "o", tmp_path / "err")
    while process.is_alive() and not (tmp_path / "e/run.json").exists():
        process.join(0.01)
    process.join(0.5)  # in the midst of an attack
    os.kill(process.pid, 2)
    process.join()
    assert process.exitcode == 130
    assert (tmp_path / "err").read_text().split() == ["stopped"]
    assert not list((tmp_path / "e").rglob("*.tmp"))


def test_a_model_with_one_logit_has_a_criterion(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    x = np.linspace(0.2, 0.8, 30, dtype=np.float32).reshape(30, 1, 1, 1).repeat(2, 2).repeat(2, 3)
    np.savez("binary.npz", images=x, labels=(x[:, 0, 0, 0] > 0.5).astype(np.int64))
    (tmp_path / "one.py").write_text(
        "from torch import nn\n"
        "class Sum(nn.Module):\n"
        "    def forward(self, x):\n"
        "        return x.flatten(1).mean(1, keepdim=True) - 0.5\n"
    )
    words = ["--data", "binary.npz", "--model", "one.py:Sum", "--eps", "0.1", "--json"]
    criterion = ["--criterion", "binary-logit"]
    assert run(["evaluate", *words, "--suite", "quick", *criterion, "--out", "e"]) == 0
    evaluated = json.loads(capsys.readouterr().out)["budgets"][0]["robust_accuracy"]["value"]
    assert run(["attack", *words, "--attack", "fgsm", *criterion, "--out", "a"]) == 0
    attacked = json.loads(capsys.readouterr().out)["robust_accuracy"]["value"]
    assert evaluated == attacked == 20 / 30
    assert run(["evaluate", *words, "--out", "b"]) == 2
    assert "one logit" in capsys.readouterr().err
