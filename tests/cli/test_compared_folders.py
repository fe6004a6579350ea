"""`saddlepoint compare`: what it prints, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from commandline import cli_fixture, refused_fixture  # noqa: F401
from written import DATA, written

RIGHT = "1111111100"
NORMALISED = {
    "type": "Rescaled", "ball": {"type": "Linf", "eps": 0.3, "lower": -2.0, "upper": 2.0},
    "mean": [0.5], "std": [0.2],
}  # fmt: skip


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def save(folder, clean=RIGHT, eps=(0.3, 0.7), robust="1110000000", **more):
    written(clean, dict.fromkeys(eps, robust), folder, **more).save(folder)
    return folder


def test_it_prints_tables_and_a_document(cli):
    folders = save("x/a/eval"), save("x/b/eval", robust="0011100000"), save("x/b/other")
    shown = cli("compare", *folders, "--eps", "0.7")
    assert shown.status == 0
    for words in (
        "robust at 0.7",
        "30.0 % [10.8, 60.3]",
        "Cochran",
        "p (Holm)",
        "a/eval",
        "note: ",
    ):
        assert words in shown.out
    assert "0.3 " not in shown.out
    found = cli("compare", *folders[:2], "--json").json
    assert found["models"] == ["a/eval", "b/eval"]
    assert [each["eps"] for each in found["budgets"]] == [0.3, 0.7]
    (pair,) = found["budgets"][0]["pairs"]
    assert (pair["only_first"], pair["only_second"], pair["images_needed"]) == (2, 2, None)
    assert found["clean"]["accuracy"]["a/eval"]["count"] == 8


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"clean": RIGHT[:5], "robust": "11100"},
            "a has 10 images of digits test, b 5 images of digits test; evaluate both on the same",
        ),
        (
            {"data": {**DATA, "images": 10, "fingerprint": "f"}},
            "a and b were evaluated on other images, though both on 10 of digits test",
        ),
        (
            {"data": {"name": "mnist", "split": "train", "images": 10, "fingerprint": "f"}},
            "a has images of digits test, b images of mnist train",
        ),
        ({"eps": (0.5, 0.9)}, "no budget is common to all: a has 0.3, 0.7; b has 0.5, 0.9"),
        ({"threat": {"type": "L2", "eps": 0.3}}, "a was attacked in Linf, b in L2"),
        ({"eps": (0.3,), "threat": "L2 0.3"}, "a was attacked in Linf, b in L2"),
        (
            {"threat": NORMALISED, "space": "normalised"},
            "the budgets of a are in the space pixels, those of b in normalised",
        ),
        (
            {"threat": {"type": "Linf", "eps": 0.3, "lower": 0.0, "upper": 2.0}},
            "the threat models of a and b differ in upper",
        ),
        (
            {
                "attacks": {
                    "pgd": {"threat": NORMALISED, "criterion": {"type": "OutsideTopK", "k": 5}}
                }
            },
            "what counts as fooled is Misclassified for a, OutsideTopK(k=5) for b",
        ),
        ({"data": None}, "b is not a whole record of an evaluation"),
    ],
)
def test_evaluations_that_are_unlike_are_refused(refused, change, words):
    assert words in refused("compare", save("a"), save("b", **change))


def damaged(folder, name, text):
    Path(save(folder), name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (lambda: [], "Missing argument"),
        (lambda: [save("a")], "needs two evaluations or more; given: 1"),
        (lambda: [save("a"), "a/"], "a is given twice"),
        (
            lambda: [save("a"), "../" + Path.cwd().name + "/a"],
            "a is given twice, the other time as",
        ),
        (lambda: [save("a"), "none"], "none holds no finished evaluation; give folders that"),
        (
            lambda: [save("a"), damaged("b", "evaluation.json", "{}")],
            "b/evaluation.json is not an evaluation: 'config'",
        ),
        (
            lambda: [save("a"), damaged("b", "images.parquet", "PAR1")],
            "b/images.parquet is not a whole Parquet file",
        ),
        (
            lambda: [save("a"), save("b"), "--eps", "8/255"],
            "a was not evaluated at 8/255; it has 0.3, 0.7",
        ),
        (lambda: [save("a"), save("b"), "--eps", "eight"], "eps is 'eight'"),
    ],
)
def test_what_cannot_be_compared_is_refused(refused, arguments, words):
    assert words in refused("compare", *arguments())
