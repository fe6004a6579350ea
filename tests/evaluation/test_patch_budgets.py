"""Evaluations by patches: nested budgets, records, audits, verdicts and what is refused."""

from __future__ import annotations

import pytest
import torch
from small import digits, trained
from torch import nn

from saddlepoint.errors import InputError
from saddlepoint.evaluation import Diagnosis, build_suite, evaluate, rejudge
from saddlepoint.evaluation.autoattack_versions import version_of
from saddlepoint.evaluation.remedies import remedies
from saddlepoint.threat import Patches


def test_budgets_are_nested_and_more_of_them_are_added_later(tmp_path):
    data = digits("test", 40)
    few = evaluate(trained(), data, "patches:2", eps=[1, 2], suite="quick", out=tmp_path)
    counts = [each.robust_accuracy.count for each in few.budgets]
    assert few.clean.count > counts[0] > counts[1]
    assert few.config["threat"]["size"] == 2
    more = evaluate(trained(), data, Patches(size=2), eps=[1, 2, 4], suite="quick", out=tmp_path)
    assert [each.robust_accuracy.count for each in more.budgets][:2] == counts
    assert max(more.attempts["distance"].to_pylist()) <= 4
    with pytest.raises(InputError, match="size was 2, is now 4"):
        evaluate(trained(), data, "patches:4", eps=[1, 2], suite="quick", out=tmp_path)


def test_one_budget_is_named_with_its_size(tmp_path):
    record = evaluate(trained(), digits("test", 10), Patches(1, size=2), suite="quick")
    assert record.config["threat"] == "Patches(2×2) 1"


@pytest.mark.parametrize("suite", ["fast", "standard"])
def test_a_healthy_model_has_a_healthy_verdict(suite):
    record = evaluate(trained(), digits("test", 40), Patches(1, size=2), suite=suite)
    assert record.verdict.judgement == "healthy"
    quick = evaluate(
        trained(), digits("test", 40), Patches(1, size=2), suite="quick", diagnosis=None
    )
    assert record.budgets[0].robust_accuracy.count <= quick.budgets[0].robust_accuracy.count


class Rounded(nn.Module):
    """Its gradient is zero everywhere."""

    def __init__(self):
        super().__init__()
        self.net = trained()

    def forward(self, x):
        return self.net((8 * x).round() / 8)


def test_a_masked_gradient_is_seen_and_remedies_have_their_forms():
    with pytest.warns(UserWarning, match="the gradient was exactly 0"):
        record = evaluate(
            Rounded(), digits("test", 32), Patches(1, size=2), suite="quick",
            diagnosis=Diagnosis(adaptive=True),
        )  # fmt: skip
    assert record.verdict.judgement in ("broken", "suspicious")
    known = [each.name for each in remedies(["zero-gradient"], Patches(1), nn.Identity(), ())]
    assert known == ["restarts", "patches at random"]
    assert list(remedies([], Patches(1), nn.Identity(), ())) == []


def test_saved_images_are_audited_by_patches():
    x = torch.full((2, 1, 4, 4), 0.4)
    found = x.clone()
    found[0, 0, :2, :2] = 0.9  # in one patch
    found[1, 0, 1:3, :2] = 0.9  # in two
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    audit = rejudge(net, x, net(x).argmax(1), found, Patches(1, size=2))
    assert audit.within_budget.tolist() == [True, False]
    assert audit.distance.tolist() == [1, 2]


def test_the_suites_of_patches():
    sizes = {"quick": 1, "fast": 1, "standard": 4, "thorough": 5}
    assert {name: len(build_suite(name, Patches(1))) for name in sizes} == sizes
    for name, message in (("rand", "no form of patches"), ("minimum-norm", "take standard")):
        with pytest.raises(InputError, match=message):
            build_suite(name, Patches(1))
    with pytest.raises(InputError, match="AutoAttack has no Patches"):
        version_of("standard", Patches(1))
