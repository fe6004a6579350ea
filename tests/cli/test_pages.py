"""Pages on the command line: where they are, what opens them, and what is refused."""

from __future__ import annotations

import json

import pytest
import typer
from small import digits

from saddlepoint.cli import run

NET = ("--model", "simple-cnn", "--data", "digits", "--limit", "20")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    words = ["evaluate", "--data", "digits", "--limit", "20", "--suite", "quick", "--eps", "0.05"]
    for name in ("simple-cnn", "maxout"):
        assert run([*words, "--model", name, "--out", str(out / name)]) == 0
    assert (
        run([*words[:4], "10", *words[5:], "--model", "maxout", "--out", str(out / "fewer")]) == 0
    )
    assert len(digits("test")) > 20
    return out


def test_open_prints_the_path_where_there_is_no_display(folders, capsys, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(typer, "launch", lambda address: pytest.fail("there is no display"))
    assert run(["open", str(folders / "maxout")]) == 0
    assert capsys.readouterr().out.strip() == str((folders / "maxout" / "report.html").resolve())


def test_open_opens_where_there_is_one(folders, monkeypatch, capsys):
    opened = []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(typer, "launch", opened.append)
    assert run(["open", str(folders / "maxout")]) == 0
    assert opened == [(folders / "maxout" / "report.html").resolve().as_uri()]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("open", "{out}/nothing"), "there is no folder"),
        (("open", "{out}"), "holds no page"),
        (("compare", "{out}/maxout", "{out}/fewer", "--out", "{out}/c"), "images"),
        (("compare", "{out}/maxout", "{out}", "--out", "{out}/c"), "holds no finished evaluation"),
        (("compare", "{out}/maxout", "{out}/simple-cnn", "--out", "{out}/maxout"), "another run"),
        (("evaluate", *NET, "--eps", "0.05", "--suite", "quick", "--out", "{out}/simple-cnn",
          "--corruptions", "{out}/nothing"), "nothing"),
    ],
    ids=["no folder", "no page", "other images", "no record", "another run", "no corruptions"],
)  # fmt: skip
def test_what_cannot_be_shown_is_one_line(folders, words, said, capsys):
    assert run([word.format(out=folders) for word in words]) == 2
    told = capsys.readouterr().err.strip()
    assert said in told
    assert len(told.splitlines()) <= 2
    assert not (folders / "c").exists()


def test_a_comparison_has_a_record_and_a_page(folders, tmp_path, capsys):
    out = tmp_path / "compared"
    words = ["compare", str(folders / "simple-cnn"), str(folders / "maxout"), "--out", str(out)]
    assert run([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    record = json.loads((out / "comparison.json").read_text())
    assert told["overlap"] == record["overlap"]
    assert told["files"]["page"] == str(out / "report.html")
    page = (out / "report.html").read_text(encoding="utf-8")
    for ids in record["overlap"]["alone"].values():
        assert ", ".join(map(str, ids[:20])) in page
    assert run(words) == 0  # the same again


def test_the_page_says_the_command_that_repeats_it(folders):
    page = (folders / "maxout" / "report.html").read_text(encoding="utf-8")
    assert f"--model maxout --out {folders / 'maxout'}" in page
