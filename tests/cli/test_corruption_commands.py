"""Corruptions on the command line: first corrupt, then measure; and all of them in a table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from commandline import cli_fixture, net_fixture, refused_fixture  # noqa: F401
from small import digits, trained
from words import attack, evaluate

from saddlepoint.cli import complete
from saddlepoint.data import CORRUPTIONS, corrupted, load_data
from saddlepoint.evaluation import CorruptionAccuracy

DATA = ("--data", "digits", "--limit", 40)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def right(name, severity, seed=0):
    data = corrupted(digits("test", 40), name, severity, seed)
    with torch.no_grad():
        logits = trained()(data.images(torch.arange(40)))
    return int((logits.argmax(1) == data.labels).sum())


def test_every_command_that_measures_can_corrupt_first(cli, net):
    words = {"model": net[0], "weights": net[1], "limit": 40, "corruption": "motion_blur:2"}
    found = cli(*evaluate(**words, out="e", seed=3), "--json")
    assert found.status == 0, found
    assert found.json["clean_accuracy"]["count"] == right("motion-blur", 2, 3)
    config = json.loads(Path("e/run.json").read_text())["config"]
    assert config["data"]["name"] == "digits, motion-blur 2"
    done = cli(*attack(**words, out="a"), "--json")
    assert done.status == 0, done
    assert done.json["clean_accuracy"]["count"] == right("motion-blur", 2)
    looked = cli(
        "diagnose", "--data", "digits", "--model", net[0], "--weights", net[1], "--eps", "8/255",
        "--corruption", "motion-blur:2", "--images", 40, "--suite", "quick", "--json",
    )  # fmt: skip
    assert looked.json["clean_accuracy"]["count"] == right("motion-blur", 2)
    audit = cli(
        "rejudge", "a/adversarials.npz", "--data", "digits", "--limit", 40, "--model", net[0],
        "--weights", net[1], "--eps", "8/255", "--corruption", "motion-blur:2", "--json",
    )  # fmt: skip
    assert audit.json["initially_wrong"] == 40 - right("motion-blur", 2)
    assert audit.json["within_the_budget"]["value"] == 1


def test_other_corruptions_are_other_runs(cli, refused, net):
    words = {"model": net[0], "weights": net[1], "out": "e"}
    assert cli(*evaluate(**words, corruption="fog:1")).status == 0
    for other in ({}, {"corruption": "fog:2"}, {"corruption": "snow:1"}):
        assert "holds another run: data" in refused(*evaluate(**words, **other))


def test_classes_are_mapped_and_a_surrogate_sees_the_same_images(cli, net, tmp_path):
    data = digits("test", 40)
    x = (data.pixels * 255).round().to(torch.uint8).numpy()
    np.savez("two.npz", x=x, y=(data.labels == 7).int().numpy())
    (tmp_path / "classes.txt").write_text("0: 3\n1: 7\n")
    words = {"data": "two.npz", "model": net[0], "weights": net[1], "classes": "classes.txt"}
    found = cli(*evaluate(**words, corruption="fog:1"), "--surrogate", net[1], "--json")
    assert found.status == 0, found
    mapped = load_data("two.npz")
    assert found.json["config"]["data"]["fingerprint"] != mapped.fingerprint


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("fog:9", "severity is 9; give 1, 2, 3, 4 or 5"),
        ("fgo:3", "unknown corruption 'fgo'; did you mean 'fog'?"),
        ("fog", "write NAME:SEVERITY, for instance fog:3"),
        ("fog:x", "write NAME:SEVERITY"),
    ],
)
def test_what_is_refused_before_images_are_read(refused, value, message):
    for words in (evaluate, attack):
        assert message in refused(*words(data="no-such-folder", corruption=value))


def test_points_cannot_be_corrupted(refused):
    np.savez("points.npz", x=np.random.default_rng(0).random((4, 6), np.float32), y=[0, 1, 0, 1])
    net = "points.py:net"
    code = "from torch import nn\ndef net(classes): return nn.Linear(6, classes)\n"
    Path("points.py").write_text(code)
    message = refused(*evaluate(data="points.npz", model=net, corruption="fog:1"))
    assert "cannot be corrupted" in message
    assert "cannot be corrupted" in refused(
        "corrupt", "--data", "points.npz", "--model", net, "--out", "c"
    )


def test_corrupt_measures_prints_and_goes_on(cli, net):
    words = ("corrupt", *DATA, "--model", net[0], "--weights", net[1], "--out", "c")
    found = cli(*words, "--only", "fog", "--only", "contrast", "--severity", 1, "--severity", 4)
    assert found.status == 0, found
    record = CorruptionAccuracy.load("c")
    assert [(row.corruption, row.severity) for row in record.rows] == [
        ("fog", 1), ("fog", 4), ("contrast", 1), ("contrast", 4),
    ]  # fmt: skip
    for row in record.rows:
        assert row.accuracy.count == right(row.corruption, row.severity)
        assert str(row.accuracy) in found.out
    assert "record c/corruptions.json" in found.out
    more = cli(*words, "--only", "jpeg_compression", "--severity", 1, "--json")
    assert more.status == 0, more
    assert len(more.json["rows"]) == 5
    assert more.json["files"] == {"record": "c/corruptions.json", "page": "c/report.html"}
    loaded = CorruptionAccuracy.load("c")
    assert CorruptionAccuracy.of_json(more.json) == loaded
    assert loaded.config["constants"] == "cifar-10-c"


def test_corrupt_refuses(refused, cli, net):
    words = ("corrupt", *DATA, "--model", net[0], "--weights", net[1], "--out", "c")
    assert "did you mean 'snow'" in refused(*words, "--only", "snw")
    assert "severity is 6" in refused(*words, "--severity", 6)
    assert "known: cifar-10-c, imagenet-c" in refused(*words, "--constants", "cifar")
    some = ("--only", "pixelate", "--severity", 1)
    assert cli(*words, *some, "--constants", "imagenet-c").status == 0
    assert "constants was imagenet-c, is now cifar-10-c" in refused(*words, *some)
    assert "seed was 0, is now 1" in refused(
        *words, *some, "--constants", "imagenet-c", "--seed", 1
    )


def test_the_list_has_all(cli):
    rows = cli("corruptions", "--json").json
    assert [row["corruption"] for row in rows] == list(CORRUPTIONS)
    assert rows[0]["severities of cifar-10-c"] == "0.04; 0.06; 0.08; 0.09; 0.1"


def test_a_shell_completes_names_and_then_severities():
    assert complete.corruption("gl") == ["glass-blur:"]
    assert complete.corruption("fog:") == [f"fog:{severity}" for severity in range(1, 6)]
    assert complete.corruption("fgo:") == []
