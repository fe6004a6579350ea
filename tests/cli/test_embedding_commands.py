"""`attack` and `evaluate` in the space embedding: records, pages, sentences in the terminal, bad input."""

from __future__ import annotations

import json
import re

import pytest
import torch

from saddlepoint.cli import run
from saddlepoint.text import (
    EmbeddedText,
    FromEmbedding,
    Sentences,
    load_text,
    load_trained_text,
)

SMALL = [
    "--model-option", "depth=1", "--model-option", "width=16", "--model-option", "hidden=16",
    "--model-option", "dropout=0",
]  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A BERT that has seen a few reviews."""
    out = tmp_path_factory.mktemp("trained") / "run"
    words = [
        "train", "--data", "rules:sentiment", "--limit", "60", "--model", "bert-micro", "--recipe",
        "bert-finetune", "--epochs", "1", *SMALL, "--out", str(out), "--threads", "1",
    ]  # fmt: skip
    assert run(words) == 0
    return out


def given(trained, out, *more):
    return [
        "--data", "rules:sentiment", "--limit", "12", "--model", "bert-micro", "--weights",
        str(trained), "--space", "embedding", "--out", str(out), "--threads", "1", *more,
    ]  # fmt: skip


def test_an_attack_in_the_embedding_is_recorded_and_shown(trained, tmp_path, capsys):
    words = given(trained, tmp_path / "a", "--attack", "pgd", "--norm", "l2", "--eps", "0.5")
    assert run(["attack", *words, "--set", "steps=3"]) == 0
    told = capsys.readouterr().out
    assert "PGD, L2 0.5" in told
    assert re.search(r"\[CLS\] the .*\n +[▁▂▃▄▅▆▇█]+ ", told)
    page = (tmp_path / "a" / "report.html").read_text(encoding="utf-8")
    spans = re.findall(r'<span title="([\d.e-]+)" style="--share: (\d+)%">([^<]+)</span>', page)
    assert {word for _, _, word in spans} >= {"[CLS]", "[SEP]", "the"}
    assert all(share == "0" for _, share, word in spans if word in ("[CLS]", "[SEP]"))
    assert max(int(share) for _, share, _ in spans) == 100
    assert run(["attack", *words, "--set", "steps=3"]) == 0  # is only read


def test_an_evaluation_counts_what_a_call_counts(trained, tmp_path, capsys):
    words = given(trained, tmp_path / "e", "--norm", "l2-root", "--eps", "0.02", "--eps", "1")
    assert run(["evaluate", *words, "--suite", "quick", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    net = load_trained_text(trained)
    data = EmbeddedText.of(
        Sentences(load_text("rules:sentiment", limit=12), net.framing), net.model
    )
    right = FromEmbedding(net.model)(data.images(torch.arange(12))).argmax(1) == data.labels
    assert record["clean_accuracy"]["value"] == pytest.approx(float(right.double().mean()))
    assert record["config"]["space"] == "embedding per root length"
    assert any("an embedded sentence here" in note for note in record["notes"])
    shares = [each["robust_accuracy"]["value"] for each in record["budgets"]]
    assert shares == sorted(shares, reverse=True)
    page = (tmp_path / "e" / "report.html").read_text(encoding="utf-8")
    assert 'class="gallery sentences"' in page
    assert run(["evaluate", *words, "--suite", "quick"]) == 0
    assert "[SEP]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--norm", "l1"), "unknown norm 'l1'"),
        (("--norm", "l2", "--corruption", "fog:3"), "--corruption is of images"),
        (("--norm", "l2", "--png"), "--png is of images"),
        (("--norm", "l2", "--data", "rules:places"), "tells"),
        (("--norm", "l2", "--space", "pixels", "--truncate"), "--truncate is of texts"),
    ],
)
def test_bad_options_are_refused(more, words, trained, tmp_path, capsys):
    named = given(trained, tmp_path / "bad", "--attack", "pgd", "--eps", "0.5", *more)
    assert run(["attack", *named]) != 0
    assert words in capsys.readouterr().err


def test_without_weights_there_is_no_classifier(tmp_path, capsys):
    words = ["--data", "rules:sentiment", "--model", "bert-micro", "--space", "embedding"]
    out = ["--out", str(tmp_path / "x"), "--attack", "pgd", "--eps", "0.5"]
    assert run(["attack", *words, *out]) != 0
    assert "needs --weights" in capsys.readouterr().err


def test_a_network_without_classes_is_refused(tmp_path, capsys):
    """Its folder is one of a training by masked-language."""
    out = tmp_path / "mlm"
    words = [
        "train", "--data", "rules:sentiment", "--limit", "40", "--model", "bert-micro", "--recipe",
        "bert-pretrain", "--set", "objective.next_sentence=false", "--epochs", "1", *SMALL,
        "--out", str(out), "--threads", "1",
    ]  # fmt: skip
    assert run(words) == 0
    assert run(["attack", *given(out, tmp_path / "x", "--attack", "pgd", "--eps", "0.5")]) != 0
    assert "tells no classes" in capsys.readouterr().err
