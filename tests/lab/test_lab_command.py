"""`saddlepoint lab`: files, lists and refusals."""

from __future__ import annotations

import csv
import json

import pytest
from small import trained

from saddlepoint.cli import run
from saddlepoint.lab import EXPERIMENTS, PerModel, Table
from saddlepoint.zoo import save_weights

NET = """
from torch import nn

def net(classes):
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(128, classes),
    )
"""


def command(capsys, *words):
    status = run(["lab", *(str(word) for word in words)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_a_command_writes_tables_and_figures_and_may_be_repeated(capsys, tmp_path):
    file = tmp_path / "net.py"
    file.write_text(NET)
    weights = save_weights(trained(), tmp_path / "net.safetensors")
    out = tmp_path / "out"
    words = ("landscape", "--model", f"{file}:net", "--weights", weights, "--out", out)
    more = ("--limit", 2, "--set", "restarts=4", "--set", "steps=3", "--threads", 1, "--json")
    for _ in range(2):
        status, text, _ = command(capsys, *words, *more)
        assert status == 0
        record = json.loads(text)
    assert {path.name for path in out.iterdir()} == {
        "run.json", "summary.csv", "losses.csv", "landscape.png", "landscape.pdf",
    }  # fmt: skip
    assert (out / "landscape.png").read_bytes()[1:4] == b"PNG"
    assert (out / "landscape.pdf").read_bytes()[:4] == b"%PDF"
    with (out / "losses.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 2 * 4 * 4
    assert {row["model"] for row in rows} == {"given"}
    assert record["experiment"] == "landscape"
    assert [row["image"] for row in record["summary"]] == [0, 1]

    status, _, err = command(capsys, *words, *more, "--seed", 1)
    assert status == 2
    assert "seed was 0, is now 1" in err


def test_networks_are_trained_where_none_is_given(capsys, tmp_path):
    status, out, err = command(
        capsys, "fgsm-ray", "--limit", 1, "--epochs", 1, "--train-limit", 64, "--out", tmp_path,
        "--threads", 1, "--set", "points=4",
    )  # fmt: skip
    assert status == 0, err
    assert "standard" in out
    assert "adversarial" in out
    assert (tmp_path / "fgsm-ray.png").stat().st_size > 1000


def test_experiments_are_listed(capsys):
    for words in ((), ("--list",)):
        status, out, _ = command(capsys, *words)
        assert status == 0
        assert "landscape" in out
    status, out, _ = command(capsys, "--list", "--json")
    listed = {each["experiment"]: each for each in json.loads(out)}
    assert set(listed) == set(EXPERIMENTS)
    assert "restarts" in listed["landscape"]["settings"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("landscap",), "did you mean 'landscape'"),
        (("landscape", "--set", "restart=3"), "did you mean 'restarts'"),
        (("landscape", "--set", "restarts"), "write NAME=VALUE"),
        (("landscape", "--set", "restarts=many"), "restarts is 'many'"),
        (("landscape", "--set", "restarts=1"), "give at least 2"),
        (("landscape", "--set", "eps=0"), "eps is 0.0; give a positive number"),
        (("alignment", "--set", "eps=0.1,x"), "eps is '0.1,x'"),
        (("landscape", "--weights", "net.safetensors"), "--model"),
        (("landscape", "--data", "no-such-data"), "no-such-data"),
        (("landscape", "--train-eps", "none"), "eps is 'none'"),
        (("adversarial-logistic", "--limit", "1"), "no image of class"),
        (("controls", "--epochs", "0"), "epochs"),
    ],
)
def test_what_cannot_be_is_refused_with_a_remedy(words, message, capsys, tmp_path):
    status, out, err = command(capsys, *words, "--out", tmp_path / "out")
    assert status == 2
    assert out == ""
    assert message in err
    assert "Traceback" not in err
    assert not (tmp_path / "out" / "summary.csv").exists()


def test_fractions_are_understood():
    settings = EXPERIMENTS["alignment"].parse({"eps": "2/255, 0.5"})
    assert settings.eps == (2 / 255, 0.5)


def test_the_tables_of_several_models_are_joined():
    class One:
        def tables(self):
            return {"summary": Table(("a",), ((1,), (2,)))}

    joined = PerModel({"x": One(), "y": One()}).tables()["summary"]
    assert joined.columns == ("model", "a")
    assert joined.rows == (("x", 1), ("x", 2), ("y", 1), ("y", 2))
