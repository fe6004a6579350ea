"""A question ends an evaluation once it is answered, under the suite; nothing done is lost."""

from __future__ import annotations

import numpy as np
import pytest
from small import digits, trained

from saddlepoint.attacks import PGD
from saddlepoint.errors import InputError
from saddlepoint.evaluation import (
    Evaluation,
    Limits,
    compare,
    evaluate,
    parse_until,
    read_worst,
)
from saddlepoint.evaluation.confidence_sequence import Bounds, ConfidenceSequence
from saddlepoint.evaluation.decision import Counted, blocks
from saddlepoint.evaluation.until import Until
from saddlepoint.threat import Linf

DATA = digits("test", 160)
SUITE = {"pgd": PGD(Linf(0.1), steps=5)}


def run(question, out=None, eps=0.1, seconds=None, **options):
    limits = Limits(seconds, None if question is None else parse_until(question))
    options = {"diagnosis": None, "batch_size": 16, **options}
    return evaluate(
        trained(), DATA, Linf(), eps=eps, suite=SUITE, out=out, limits=limits, **options
    )


@pytest.fixture(scope="module", name="whole")
def _whole():
    return run(None)


def share(record):
    return record.budgets[0].robust_accuracy.value


@pytest.mark.parametrize(("shift", "answer"), [(-0.25, "yes"), (0.25, "no")])
def test_a_threshold_far_off_is_decided_early(tmp_path, whole, shift, answer):
    question = f"robust>={share(whole) + shift:.2f}"
    record = run(question, tmp_path)
    told = record.decision
    assert told.answer == answer
    assert 0 < told.seen < len(DATA)
    low, high = told.bounds
    assert low <= whole.budgets[0].robust_accuracy.count <= high
    # Of the images that were seen the numbers are those of the whole evaluation.
    seen = np.sort(np.concatenate([*blocks(len(DATA), 16, 0)][: told.seen // 16]))
    rows = whole.images.to_pylist()
    assert told.robust == sum(not rows[i]["fooled_by"] for i in seen)
    assert [each.attack for each in record.left] == ["pgd"]
    right = sum(row["fooled_by"] != "initially wrong" for row in rows)
    assert record.left[0].images <= right
    table = str(record)
    assert table.startswith(f"{question} under this suite: {answer}")
    assert f"{told.seen} of 160" in table
    assert (
        str(record.budgets[0].robust_accuracy) not in table
    )  # which counts all that were not seen
    same_answer = Evaluation.load(tmp_path)
    assert same_answer.decision == told
    assert record.json()["until"]["of"] == "robust accuracy under this suite"
    with pytest.raises(InputError, match="is not finished: ended by the answer"):
        compare({"a": record, "b": whole})


def test_the_same_question_again_costs_nothing_and_without_it_the_rest_is_done(
    tmp_path, whole, monkeypatch
):
    question = f"robust<{share(whole) + 0.25:.2f}"
    first = run(question, tmp_path)
    assert first.decision.answer == "yes"
    calls = []
    own = PGD.__call__

    def call(self, model, images, *args, **options):
        calls.extend(options["ids"].tolist())
        return own(self, model, images, *args, **options)

    monkeypatch.setattr("saddlepoint.attacks.core.contract.Attack.__call__", call)
    assert run(question, tmp_path).decision == first.decision
    assert not calls
    record = run(None, tmp_path)
    done = set(first.attempts["id"].to_pylist())
    assert not set(calls) & done
    assert not record.left
    assert record.decision is None
    assert record.images["fooled_by"].to_pylist() == whole.images["fooled_by"].to_pylist()
    assert len(read_worst(tmp_path).at(0.1).ids) == record.clean.count
    again = run(question, tmp_path)
    assert again.decision.answer == "yes"
    assert again.decision.seen == len(DATA)
    assert Evaluation.load(tmp_path).decision is None


def test_a_close_call_sees_all_and_is_then_right(tmp_path, whole):
    count = whole.budgets[0].robust_accuracy.count
    for number, answer in ((count, "yes"), (count + 1, "no")):
        record = run(f"robust>={number / len(DATA):.6f}", tmp_path / str(number))
        assert record.decision.answer == answer
        low, high = record.decision.bounds
        if not record.left:
            assert low == high == count


def test_clean_accuracy_alone_may_answer(tmp_path):
    record = run("robust>=0.999", tmp_path)
    assert record.decision.answer == "no"
    assert record.decision.seen == 0
    assert "0 of 160" in str(record)


def test_the_time_can_be_up_before(tmp_path, whole):
    record = run(f"robust>={share(whole):.3f}", tmp_path, seconds=1e-9)
    assert record.decision.answer is None
    assert "not decided yet" in str(record)
    assert "the time was up" in str(record)
    assert run(None, tmp_path).images.equals(whole.images)


def test_several_budgets_are_refused(tmp_path):
    with pytest.raises(InputError, match="asks of one budget, and there are 2; give one eps"):
        run("robust>=0.5", tmp_path / "out", eps=(0.05, 0.1))
    assert not (tmp_path / "out").exists()


def test_what_was_fooled_stands_no_more_whatever_the_sequence_says():
    counted = Counted(Until(0.6), total=100, right=80)
    assert counted.decision().bounds.high == 80
    counted.add(seen=30, right=25, robust=4)
    found = counted.decision()
    assert found.bounds.high <= 80 - 21
    assert found.answer == "no"
    alone = ConfidenceSequence(100, 0.95).after(4, 30)
    certain = Counted(Until(0.6), total=100, right=20)
    certain.add(seen=30, right=20, robust=20)  # all that can stand do
    assert certain.decision().bounds == Bounds(20, 20, 100)
    assert found.bounds.high == min(alone.high, 59)
