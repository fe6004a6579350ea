"""Models on the same images: the numbers are those of a hand, and what is unlike is refused or told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from written import written

from saddlepoint.errors import InputError
from saddlepoint.evaluation import Proportion, compare, images_to_tell, power_of_mcnemar
from saddlepoint.evaluation.common_budgets import common_budgets

# On 20 images both are right on 6, the first alone on 9, the second alone on 1, and nobody on 4.
FIRST = "1" * 6 + "1" * 9 + "0" * 1 + "0" * 4
SECOND = "1" * 6 + "0" * 9 + "1" * 1 + "0" * 4
ALL = "1" * 20


def pair(first=FIRST, second=SECOND, **changes):
    return {"a": written(ALL, {0.3: first}), "b": written(ALL, {0.3: second}, "b", **changes)}


def test_two_models_are_compared_as_by_hand():
    (at,) = (found := compare(pair())).budgets
    (one,) = at.pairs
    assert at.accuracy == {"a": Proportion(15, 20), "b": Proportion(7, 20)}
    assert one.test[:2] == (9, 1)
    assert one.test.p == one.corrected == pytest.approx(2 * (1 + 10) / 2**10)
    assert one.needed == images_to_tell(0.45, 0.05)
    assert one.power == power_of_mcnemar(20, 0.45, 0.05)
    assert at.cochran is None
    (clean,) = found.clean.pairs
    assert (clean.test.p, clean.power, clean.needed) == (1, None, None)
    rows = found.pair_table().rows
    assert rows[0] == ("clean", "a", "b", "0", "0", "1.000", "–", "–")
    assert rows[1][:6] == ("0.3", "a", "b", "9", "1", "0.021")
    assert "75.0 % [53.1, 88.8]" in str(found)


def test_three_models_are_compared_as_by_hand_and_holm_is_of_one_budget():
    # Of three models n images are right: G = 8, 6, 1, the squares of the images' sums 7·4 + 1, and
    # Q = 2·(3·101 − 15²) / (3·15 − 29).
    answers = {"a": "1" * 8, "b": "1" * 6 + "00", "c": "0" * 7 + "1"}
    records = {
        name: written("1" * 8, {0.3: each, 0.7: each}, name) for name, each in answers.items()
    }
    found = compare(records)
    assert [each.name for each in found.all] == ["clean", "0.3", "0.7"]
    for at in found.budgets:
        assert at.cochran.q == pytest.approx(9.75)
        assert {(each.first, each.second): each.test.p for each in at.pairs} == {
            ("a", "b"): 0.5, ("a", "c"): 2 / 128, ("b", "c"): pytest.approx(16 / 128),
        }  # fmt: skip
        assert [each.corrected for each in at.pairs] == pytest.approx([0.5, 6 / 128, 32 / 128])
    assert found.clean.cochran[:2] == (0, 1)
    assert "for the 3 pairs within a budget" in found.pair_table().title
    assert len(found.tables()) == 3
    (at,) = compare(records, eps=["0.7", 0]).budgets
    assert at.eps == 0.7


def test_who_hardly_differ_get_a_dash(monkeypatch):
    monkeypatch.setattr("saddlepoint.evaluation.power._MOST", 100)
    found = compare(pair("1" * 10 + "0" * 10, "0" * 11 + "1" * 9))
    (one,) = found.budgets[0].pairs
    assert one.test[:2] == (10, 9)
    assert one.needed is None
    assert one.power > 0
    assert found.pair_table().rows[1][-1] == "–"


def test_what_must_be_known_is_told():
    suite = {"apgd": pair()["a"].config["attacks"]["fgsm"]}
    found = compare(pair(attacks=suite)).notes
    assert found[0].startswith("a: not examined")
    found = found[2:]
    assert found == (
        "the suites differ, and a weaker one leaves more images standing: fgsm (a); apgd (b)",
    )
    one = pair()["a"]
    below = written(ALL, {0.1: ALL, 0.3: SECOND}, notes=("it is random",))
    below.config["attacks"]["fgsm"]["loss"] = "margin"
    settings, budgets, weights, own = compare({"a": one, "b": below, "c": pair()["b"]}).notes[3:]
    assert "the same attacks with other settings" in settings
    assert settings.endswith(": fgsm")
    assert budgets.endswith(": 0.3 (a, c); 0.1, 0.3 (b)")
    assert weights == "a and b are evaluations of the same weights"
    assert own == "b: it is random"
    # At the smallest budget alone nothing was found before; a random model's passes are its own.
    below.config["attacks"]["fgsm"] = {**one.config["attacks"]["fgsm"], "eot_samples": 10}
    assert not any("budget" in each or "suite" in each for each in compare({"a": one, "b": written(
        ALL, {0.3: SECOND, 0.9: SECOND}, "b", attacks=below.config["attacks"])}).notes)  # fmt: skip


def test_budgets_are_the_same_up_to_rounding():
    assert common_budgets({"a": [0.0, 8 / 255], "b": [0.0313725490196]}) == {
        8 / 255: {"a": 1, "b": 0}
    }
    nan = float("nan")
    assert [*common_budgets({"a": [nan], "b": [nan]}).values()] == [{"a": 0, "b": 0}]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"clean": Proportion(19, 20)}, "the images of b are not those of its record"),
        ({"budgets": ()}, "the images of b are not those of its record"),
        ({"config": {}}, "b is not a whole record of an evaluation: 'attacks'"),
    ],
)
def test_a_record_that_does_not_agree_with_itself_is_refused(change, words):
    records = pair()
    records["b"] = replace(records["b"], **change)
    with pytest.raises(InputError, match=words):
        compare(records)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"eps": []}, "eps is empty"), ({"power": 1}, "power is 1"), ({"eps": 0.4}, "not evaluated")],
)
def test_options_that_make_no_sense_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        compare(pair(), **options)
