"""Suites in a file: what they build, and errors by line and field."""

from __future__ import annotations

import pytest
from small import digits, trained

from saddlepoint.attacks import APGD, DDN, FIXED_BUDGET, AtBudget, Fast, Restarted
from saddlepoint.errors import InputError
from saddlepoint.evaluation import build_suite, evaluate
from saddlepoint.threat import L2

TEXT = """
apgd: {steps: 5, loss: margin}
aimed:
  attack: apgd
  loss: dlr-targeted
  steps: 5
  targets: 2
nearest: {attack: ddn, steps: 5, wrap: [restarted=2]}
plain-fgsm: {attack: fgsm}
"""


def test_the_file_says_which_attacks_in_which_order(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(TEXT)
    suite = build_suite(str(file), L2(0.5))
    assert list(suite) == ["apgd", "aimed", "nearest", "plain-fgsm"]
    assert suite["aimed"] == APGD(L2(0.5), loss="dlr-targeted", steps=5, targets=2)
    assert suite["nearest"] == Restarted(AtBudget(DDN(L2(), steps=5), L2(0.5)), 2)
    assert all(attack.kind is FIXED_BUDGET for attack in suite.values())


def test_it_is_evaluated_as_a_mapping_is_and_known_by_its_content(tmp_path):
    data, net = digits("test", 12), trained()
    first, second = tmp_path / "a.yaml", tmp_path / "b.yml"
    first.write_text("apgd: {steps: 4}")
    second.write_text("# the same\napgd:\n  steps: 4")
    whole = evaluate(
        net, data, "Linf", eps=[0.05, 0.2], suite=str(first), out=tmp_path / "out", diagnosis=None
    )
    again = evaluate(
        net, data, "Linf", eps=[0.05, 0.2], suite=str(second), out=tmp_path / "out", diagnosis=None
    )
    assert again.json() == whole.json()
    second.write_text("apgd: {steps: 5}")
    with pytest.raises(InputError, match="steps"):
        evaluate(
            net,
            data,
            "Linf",
            eps=[0.05, 0.2],
            suite=str(second),
            out=tmp_path / "out",
            diagnosis=None,
        )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no suite; write names of attacks"),
        ("- apgd", "is no suite"),
        ("apgd: 5", "line 1: apgd: is 5; give options"),
        ("a: {attack: apgd}\nb:\n  attack: apgdd\n", "line 2: b: unknown attack 'apgdd'; did you"),
        ("a:\n  attack: apgd\n  steps: many\n", "line 3: a.steps: .*many"),
        ("a:\n  attack: apgd\n  step: 5\n", "line 3: a.step: "),
        ("a:\n  attack: [apgd]\n", "line 2: a.attack: "),
        ("a:\n  attack: apgd\n  wrap: eight-bit\n", "line 3: a.wrap: give a list"),
        ("a:\n  attack: apgd\n  wrap: [eight-bit]\n", "line 1: a: eight-bit around"),
        ("a: {attack: sigma-zero}", "line 1: a: "),
        ("a: {\n", "line"),
        ("a: {}\na: {}\n", "a"),
        ("7: {attack: apgd}", "a name is text"),
    ],
)  # fmt: skip
def test_errors_name_line_and_field(text, words, tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=words):
        build_suite(str(file), L2(0.5))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        build_suite(str(tmp_path / "no.yaml"), L2(0.5))


def test_fast_is_written_with_its_options_and_no_others(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("fast: {targets: 2, close: 0}")
    assert build_suite(str(file), L2(0.5))["fast"] == Fast(L2(0.5), targets=2, close=0)
    file.write_text("fast: {target: 2}")
    with pytest.raises(InputError, match=r"mine\.yaml.*target"):
        build_suite(str(file), L2(0.5))
