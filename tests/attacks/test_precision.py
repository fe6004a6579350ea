"""Loops in bfloat16 or compiled: faster passes, the same judge, nothing lost."""

from __future__ import annotations

import pytest
import torch
from networks import conv_case
from torch import nn

from saddlepoint.attacks import DDN, MINIMUM_NORM, PGD, AtBudget
from saddlepoint.errors import InputError
from saddlepoint.threat import L2, Linf


class Dtypes(nn.Module):
    """Notes the type of what its last layer returns."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.seen = net, []

    def forward(self, x):
        z = self.net(x)
        self.seen.append(z.dtype)
        return z


def test_the_loop_is_in_bfloat16_and_the_judge_is_not():
    net, images, labels = conv_case(12)
    model = Dtypes(net)
    PGD(Linf(0.02), steps=3, autocast="bf16", stop="never")(model, images, labels)
    assert model.seen[0] == torch.float32, "the clean check"
    assert model.seen[-1] == torch.float32, "the judge"
    assert set(model.seen[1:5]) == {torch.bfloat16}, "three steps and the last iterate"


@pytest.mark.parametrize("attack", [PGD(Linf(0.03), steps=10), DDN(L2(), steps=40)])
def test_what_holds_in_bfloat16_only_is_not_lost(attack):
    from dataclasses import replace

    net, images, labels = conv_case(48)
    exact = attack(net, images, labels)
    fast = replace(attack, autocast="bf16")(net, images, labels)
    with torch.no_grad():
        fooled = net(fast.adversarials).argmax(1) != labels
    assert torch.equal(fooled, fast.success)
    assert int(fast.success.sum()) >= int(exact.success.sum()) - 1
    if attack.kind is MINIMUM_NORM:
        ratio = fast.distance / exact.distance
        assert float(ratio[exact.distance > 0].median()) < 1.05


@pytest.mark.parametrize(
    ("attack", "loop"),
    [
        (PGD(Linf(0.02), steps=3), "medium"),
        (DDN(L2(), steps=3), "highest"),
        (AtBudget(DDN(L2(), steps=3), L2(0.1)), "highest"),
        (DDN(L2(), steps=3, autocast="bf16"), "medium"),
    ],
    ids=["pgd", "ddn", "ddn-at-a-budget", "ddn-bf16"],
)
def test_near_a_boundary_and_before_the_judge_float32_is_not_shortened(attack, loop):
    """Outside the caller's "medium" holds, under which products may be taken in less."""

    class Noting(nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net, self.seen = net, []

        def forward(self, x):
            self.seen.append(torch.get_float32_matmul_precision())
            return self.net(x)

    net, images, labels = conv_case(12)
    model = Noting(net)
    torch.set_float32_matmul_precision("medium")
    try:
        attack(model, images, labels)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert (model.seen[0], model.seen[1], model.seen[-1]) == ("highest", loop, "highest")


def test_another_precision_is_refused():
    with pytest.raises(InputError, match="autocast"):
        PGD(Linf(0.1), autocast="fp8")


@pytest.mark.slow
def test_a_compiled_loop_finds_the_same():
    net, images, labels = conv_case(16)
    plain = PGD(Linf(0.02), steps=5)(net, images, labels)
    compiled = PGD(Linf(0.02), steps=5, compile=True)(net, images, labels)
    assert torch.allclose(plain.adversarials, compiled.adversarials, atol=1e-5)
    assert torch.equal(plain.success, compiled.success)
