"""What a wrapper is given must agree with the attack inside it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from saddlepoint.attacks import BPDA, DDN, PGD, AtBudget, EightBit, Restarted, Transfer
from saddlepoint.errors import InputError
from saddlepoint.threat import L2, Linf

PGD_LINF, NEAREST = PGD(Linf(0.1)), DDN(L2())


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Restarted(PGD_LINF, 2, threat=L2(0.5)), "measures Linf and the budget is in L2"),
        (lambda: replace(Restarted(PGD_LINF, 2), attack=PGD(L2(0.5))), "measures L2"),
        (lambda: AtBudget(NEAREST), "needs a budget"),
        (lambda: AtBudget(NEAREST, Linf(0.1)), "measures L2 and the budget is in Linf"),
        (lambda: EightBit(NEAREST, keep="last"), "EightBit keeps the nearest"),
        (lambda: Transfer(NEAREST, nn.Flatten(), keep="last"), "Transfer keeps the nearest"),
        (lambda: BPDA(PGD_LINF, 3), "modules is 3"),
        (lambda: Restarted("pgd", 2), "is no attack"),
        (lambda: PGD(Linf(0.1), criterion="misclassified"), "needs a criterion"),
        (lambda: PGD(Linf(0.1), corners="no"), "corners is"),
    ],
)  # fmt: skip
def test_what_does_not_agree_is_refused(build, message):
    with pytest.raises(InputError, match=message):
        build()


def test_every_sample_may_have_a_budget_of_its_own():
    net, images = nn.Flatten(), torch.tensor([[0.9, 0.3], [0.9, 0.3]])
    attack = AtBudget(DDN(L2(), steps=10), L2(torch.tensor([0.1, 0.9])))
    assert attack(net, images, torch.tensor([0, 0])).success.tolist() == [False, True]


def test_another_budget_is_taken_either_way():
    within = AtBudget(NEAREST, L2(0.5))
    assert replace(within, threat=L2(0.3)).threat == L2(0.3)
    assert replace(within, budget=L2(0.2)).threat == L2(0.2)
