"""Output folders and disks: nothing of another run is touched, nothing written is lost."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from commandline import cli_fixture, cnn_fixture, net_fixture, refused_fixture  # noqa: F401
from sampled import mostly_slow
from small import command, conv, finish
from words import COMMANDS, USER, attack, evaluate, train

from saddlepoint.cli import run


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def files(folder):
    return {p: p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}


@pytest.mark.parametrize("first", COMMANDS)
@pytest.mark.parametrize("second", COMMANDS)
def test_the_folder_of_another_run(cli, refused, net, first, second):
    assert cli(*first(model=net[0])).status == 0
    before = files("out")
    message = refused(*second(model=net[0], seed=1))
    assert "out holds another run" in message
    assert files("out") == before


@pytest.mark.parametrize("words", COMMANDS)
def test_files_of_somebody_else_are_not_overwritten(refused, net, words):
    Path("out").mkdir()
    for name in ("model.safetensors", "images.parquet"):
        Path("out", name).write_text("mine")
    before = files("out")
    assert "of no known run, which would be lost" in refused(*words(model=net[0]))
    assert files("out") == before


@pytest.mark.parametrize("words", COMMANDS)
def test_a_folder_below_a_file(refused, net, words):
    Path("file").write_text("kept")
    for out in ("file", "file/below/it"):
        assert "cannot make the folder file" in refused(*words(model=net[0], out=out))
    assert Path("file").read_text() == "kept"


@pytest.mark.parametrize("words", COMMANDS)
def test_a_folder_that_cannot_be_written(refused, net, words, monkeypatch):
    """As for a read-only folder; root, who may do anything, is told so by the patch alone."""
    Path("out").mkdir()
    Path("out").chmod(0o500)

    whole = Path.open

    def denied(self, *args, **kwargs):
        if "out" in self.parts:
            raise PermissionError(13, "Permission denied")
        return whole(self, *args, **kwargs)

    if os.geteuid() == 0:
        monkeypatch.setattr("pathlib.Path.open", denied)
    assert "Permission denied" in refused(*words(out="out"))
    Path("out").chmod(0o700)
    assert list(Path("out").iterdir()) == []


def test_a_name_that_is_too_long(refused):
    assert "File name too long" in refused(*evaluate(out="x" * 300))


def test_resuming_with_another_recipe_names_the_difference(cli, refused, net):
    assert cli(*train(model=net[0])).status == 0
    message = refused(*train(model=net[0], recipe="modern"), "--resume")
    assert "recipe.optimiser.learning_rate was 0.1, is now 0.05" in message
    message = refused(*train(model=net[0], epochs=3), "--resume")
    assert "recipe.epochs was 1, is now 3" in message
    message = refused(*train(model=net[0], limit=31), "--resume")
    assert "data.images was 32, is now 31" in message


def test_a_run_that_failed_at_once_leaves_its_folder_free(cli, refused, net):
    Path("mine.py").write_text(USER)
    for words in (evaluate, train, attack):
        refused(*words(model="mine.py:few", out=words.__name__))
        assert cli(*words(model=net[0], out=words.__name__)).status == 0


# A full disk


@pytest.mark.parametrize(
    ("words", "size"),
    mostly_slow(
        [
            (train, 500), (train, 3000), (evaluate, 500), (evaluate, 4500), (attack, 500),
            (attack, 6000),
        ],
        quick=[(train, 3000), (evaluate, 500)],
    ),
)  # fmt: skip
def test_a_full_disk(cli, net, words, size):
    arguments = words(model=net[0], limit=200)
    status = finish(command, arguments, "out.txt", "err.txt", size)
    message = Path("err.txt").read_text()
    assert status == 2, message
    lines = [line for line in message.splitlines() if not line.startswith("training ")]
    assert len(lines) == 1
    assert lines[0].startswith("error: cannot write out/")
    assert "File too large" in lines[0]
    assert not list(Path("out").rglob("*.tmp"))
    for path in Path("out").rglob("*.json"):
        json.loads(path.read_text())
    more = ["--resume"] if words is train else []
    assert cli(*arguments, *more).status == 0
    assert cli(*words(model=net[0], limit=200, out="whole")).status == 0
    name = "model.safetensors" if words is train else "images.parquet"
    assert Path("out", name).read_bytes() == Path("whole", name).read_bytes()


# The switch for tracebacks, and where errors go


@pytest.mark.parametrize("place", [0, 1, -1])
def test_debug_shows_the_traceback(place):
    words = evaluate(eps="eight")
    words.insert(place if place >= 0 else len(words), "--debug")
    with pytest.raises(ValueError, match="eps is 'eight'"):
        run([str(word) for word in words])


def test_a_program_error_is_not_hidden(monkeypatch):
    def broken(*args, **kwargs):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("saddlepoint.data.load_data", broken)
    with pytest.raises(ZeroDivisionError):
        run([str(word) for word in evaluate()])


def test_a_device_out_of_memory_is_told(monkeypatch, refused, net):
    def full(*args, **kwargs):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("saddlepoint.model.guard.Guard._forward", full)
    assert "out of memory; lower --batch-size" in refused(*evaluate(model=net[0]))


def test_conv_is_small():
    assert sum(p.numel() for p in conv().parameters()) < 2000
