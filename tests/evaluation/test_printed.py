"""What an evaluation says of attacks and classes is what its rows say, and results print as tables."""

from __future__ import annotations

import pytest
import torch
from small import digits, trained
from torch import nn

from saddlepoint.attacks import FGSM
from saddlepoint.data import TensorData
from saddlepoint.errors import InputError
from saddlepoint.evaluation import Evaluation, evaluate, run_attack
from saddlepoint.tables import Table
from saddlepoint.threat import Box, Linf
from saddlepoint.training import TrainingResult

EPS = [0.05, 0.15]


@pytest.fixture(scope="module")
def data():
    some = digits(limit=120)
    names = [f"<b>{i}" for i in range(10)]
    return TensorData.of(some.pixels, some.labels, name="named", classes=names)


@pytest.fixture(scope="module")
def record(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("printed") / "run"
    evaluate(trained(), data, Linf(), eps=EPS, suite="quick", out=out, diagnosis=None)
    return Evaluation.load(out)


def test_each_attack_takes_from_what_the_last_one_left(record):
    rows = record.images.to_pylist()
    for level, budget in enumerate(record.budgets):
        shares = [each for each in record.by_attack() if each.eps == budget.eps]
        assert shares[-1].robust_accuracy == budget.robust_accuracy
        assert sum(each.forwards for each in shares) == pytest.approx(budget.forwards)
        before = record.clean.count if level == 0 else record.budgets[0].robust_accuracy.count
        for each in shares:
            assert each.attacked == before
            before -= each.fooled
            assert each.robust_accuracy.count == before
            fooled = [r for r in rows if r["eps"] == r["fooled_at"] == budget.eps]
            assert each.fooled == sum(r["fooled_by"] == each.attack for r in fooled)


def test_classes_and_what_they_become_are_counted_from_the_images(record, data):
    clean = trained()(data.pixels).argmax(1)
    rows = [r for r in record.images.to_pylist() if r["eps"] == EPS[1]]
    assert record.confusion(0).trace() == record.clean.count == int((clean == data.labels).sum())
    for each in record.per_class():
        mine = data.labels == each.label
        assert each.name == f"<b>{each.label}"
        assert each.clean.total == int(mine.sum())
        assert each.clean.count == int((clean[mine] == each.label).sum())
        wrong = [r["prediction"] for r in rows if r["label"] == each.label != r["prediction"]]
        assert each.robust[1].count == each.clean.total - len(wrong)
        assert {k: wrong.count(k) for k in wrong} == each.becomes
        assert record.confusion("0.15")[each.label].sum() == each.clean.total
    with pytest.raises(InputError, match=r"0\.1 was not evaluated; the budgets are 0\.05, 0\.15"):
        record.confusion(0.1)


def test_results_print_as_tables_and_as_html_without_colours(record, data):
    attacked = run_attack(trained(), data, FGSM(Linf(0.1)))
    training = TrainingResult(nn.Identity(), [{"epoch": i, "loss": 0.5} for i in range(12)], 1.0)
    for value, words in (
        (record, ("robust accuracy", "apgd-margin", str(record.budgets[1].robust_accuracy))),
        (attacked, ("accuracy under attack", str(attacked.robust_accuracy))),
        (attacked.result, ("success rate", f"{100 * attacked.result.success_rate:.1f} %")),
        (training, ("the last 10 of 12 epochs", "loss")),
    ):
        assert repr(value) == str(value)
        assert all(word in str(value) for word in words)
        assert all(word in value._repr_html_() for word in words)
        assert not any(word in value._repr_html_() for word in ("#", "white", "black", "<b>"))
    assert "&lt;b&gt;3" in record.class_table().html()


def test_what_has_no_budget_or_no_success_is_printed_too(data):
    box = evaluate(trained(), data.first(20), Box(0.0, 0.0), suite="quick", diagnosis=None)
    assert "–" in str(box)
    assert len(box.by_attack()) == 3
    nothing = FGSM(Linf(0.0))(nn.Flatten(), torch.tensor([[0.4, 0.5]]), torch.tensor([0]))
    assert "–" in str(nothing)


def test_a_cell_cannot_steer_the_terminal_or_the_page():
    table = Table("a\x1b[2J", ("<i>",), [("\x1b]0;x\x07",)], ("<script>",))
    assert "\x1b" not in table.text() + table.html()
    assert "<script>" not in table.html()
    assert "<i>" not in table.html()
