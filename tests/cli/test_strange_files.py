"""What is no file, or no file of ours, at every option that names one: exit 2, one or two lines."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from commandline import cli_fixture, refused_fixture  # noqa: F401
from words import LABELS, PIXELS, attack, evaluate, train

pytestmark = pytest.mark.timeout(60)

REJUDGE = ["--data", "digits", "--model", "zoo:simple-cnn"]
PLACES = {
    "data.npz": lambda p: evaluate(data=p),
    "data.parquet": lambda p: evaluate(data=p),
    "weights.pt": lambda p: evaluate(weights=p),
    "weights.safetensors": lambda p: train(weights=p),
    "surrogate.safetensors": lambda p: attack(surrogate=p),
    "mask.png": lambda p: attack(mask=p),
    "mask.npy": lambda p: attack(mask=p),
    "classes.txt": lambda p: evaluate(classes=p),
    "recipe.yaml": lambda p: train(recipe=p),
    "saved.npz": lambda p: ["rejudge", p, *REJUDGE],
    "saved.pt": lambda p: ["rejudge", p, *REJUDGE],
    "study.yaml": lambda p: ["study", "run", p, "--out", "study"],
}


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("kind", ["pipe", "link to nothing", "rubbish"])
@pytest.mark.parametrize(("name", "words"), PLACES.items(), ids=PLACES)
def test_what_is_no_file_is_refused_at_every_option(refused, name, words, kind):
    if kind == "pipe":
        os.mkfifo(name)
    elif kind == "rubbish":
        Path(name).write_bytes(b"\x00\xff rubbish\n: [")
    else:
        Path(name).symlink_to("absent")
    assert name in refused(*words(name))
    assert not Path("out/run.json").exists()


@pytest.mark.parametrize("odd", ["two\nlines", "\x1b[2Jclear", "not\udcffutf"])
@pytest.mark.parametrize(("name", "words"), PLACES.items(), ids=PLACES)
def test_names_are_printed_escaped(refused, name, words, odd):
    message = refused(*words(f"{odd}{name}"))
    assert ascii(odd)[1:-1] in message
    assert all(line.isprintable() for line in message.splitlines())


def test_pipes_and_links_in_a_folder_of_images(refused):
    for name in ("cat", "dog"):
        Path("d", name).mkdir(parents=True)
    os.mkfifo("d/cat/1.png")
    assert "d/cat/1.png: Is a pipe" in refused(*evaluate(data="d"))
    assert "d/cat/1.png: Is a pipe" in refused("rejudge", "d/cat", *REJUDGE)
    Path("d/cat/1.png").unlink()
    Path("d/cat/1.png").symlink_to("absent")
    assert "d/cat/1.png: it is a link to nothing" in refused(*evaluate(data="d"))


SHAPES = (
    "[]",
    "null",
    "{}",
    '{"kind": "train", "config": []}',
    '{"kind": "train", "config": {}}',
    '{"kind": "train", "config": {"recipe": {"transforms": [[1]]}}}',
    '{"kind": "train", "config": {"recipe": {"transforms": 3}}}',
    '{"kind": {"a": [1]}, "config": {"model": {"type": 5}}}',
    "[" * 2000,
    '{"a":' * 700 + "1" + "}" * 700,
)


@pytest.mark.parametrize("text", SHAPES)
def test_a_run_of_another_shape_is_refused(refused, text):
    Path("out").mkdir()
    for name in ("run.json", "model.safetensors"):
        Path("out", name).write_text(text)
    refused(*evaluate(weights="out", out="other"))
    refused(*train())
    refused(*evaluate())


CELL = {"address": "0" * 16, "label": "a", "kind": "training", "eps": None}
PLANS = (
    {"cells": [3], "places": []},
    {"cells": [{**CELL, "address": "../../etc"}], "places": []},
    {"cells": [CELL], "places": [{"variant": "a"}]},
    {"cells": [{**CELL, "label": [1]}], "places": []},
    {"cells": [CELL], "places": [], "data": 3},
)


@pytest.mark.parametrize("plan", PLANS)
def test_a_study_of_another_shape_is_refused(refused, plan):
    Path("s").mkdir()
    record = {"format": 1, "saddlepoint": "0", "study": {"name": "s"}, "plan": plan}
    Path("s/study.json").write_text(json.dumps(record))
    for command in ("status", "report"):
        if command == "report" or "data" not in plan:
            refused("study", command, "s")


def test_a_record_of_another_shape_is_refused(cli, refused, tmp_path):
    words = evaluate(limit=4)
    assert cli(*words).status == 0
    record = json.loads((tmp_path / "out/evaluation.json").read_text())
    for change in ({"budgets": 3}, {"budgets": [[]]}, {"seconds": "x"}, {"clean_accuracy": {}},
                   {"notes": 1}, {"config": 3}):  # fmt: skip
        (tmp_path / "out/evaluation.json").write_text(json.dumps({**record, **change}))
        assert "is not an evaluation" in refused(*words)
    words = attack(limit=4, out="a")
    assert cli(*words).status == 0
    np.savez("a/adversarials.npz", adversarials=np.zeros((9, 1, 8, 8)))
    assert "is not a whole attack record" in refused(*words)


def test_an_image_size_beyond_reason_is_refused(refused):
    for words in (evaluate, train, attack):
        line = refused(*words(image_size=99999999999))
        assert "4096" in line
        assert "99999999999" in line


def test_a_name_too_long_is_refused(refused):
    assert "too long" in refused(*evaluate(data="a" * 5000))
    assert "too long" in refused(*evaluate(weights="a" * 5000))
    assert "no file or folder ~nobody-here/a" in refused(*evaluate(data="~nobody-here/a"))


def test_data_whose_name_is_no_utf8_is_evaluated(cli):
    np.savez("a\udcff\x1b.npz", x=PIXELS, y=LABELS)
    found = cli(*evaluate(data="a\udcff\x1b.npz", limit=4), "--json")
    assert found.status == 0
    assert "\x1b" not in found.out + found.err
