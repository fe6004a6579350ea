"""Results on the 8-bit lattice, and the cases over targets."""

from __future__ import annotations

import pytest
import torch
from networks import conv_case

from saddlepoint.attacks import PGD
from saddlepoint.attacks.core.targets import attack_targets
from saddlepoint.attacks.minimum_norm.ddn import DDN
from saddlepoint.attacks.wrappers.eight_bit import EightBit
from saddlepoint.errors import InputError
from saddlepoint.threat import L2, Linf


@pytest.mark.parametrize("levels", [15, 255])
def test_results_are_on_the_lattice_and_fool(levels):
    net, x, y = conv_case(12, torch.float64, wrong=0)
    x = (x * levels).round() / levels
    y = net(x).argmax(1)
    raw = DDN(L2())(net, x, y).adversarials
    rounded = (raw * levels).round() / levels
    assert bool((net(rounded).argmax(1) == y).any()), "rounding alone must not be enough"
    result = EightBit(DDN(L2()), levels=levels)(net, x, y)
    steps = result.adversarials * levels
    assert torch.allclose(steps, steps.round(), atol=1e-9)
    assert bool(result.success.all())


def test_fixed_budgets_are_refused():
    with pytest.raises(InputError, match="minimum-norm"):
        EightBit(PGD(Linf(0.1)))


def test_the_cases_are_those_of_all_targets_run_one_by_one():
    net, x, y = conv_case(4, torch.float64, wrong=0)
    attack = DDN(L2(), steps=30)
    all_ = torch.stack([attack(net, x, y, (y + k) % 5).distance for k in range(1, 5)])
    best, worst, average = (
        attack_targets(attack, net, x, y, c) for c in ("best", "worst", "average")
    )
    assert torch.equal(best.result.distance, all_.amin(0))
    assert torch.equal(worst.result.distance, all_.amax(0))
    assert bool((average.targets != y).all())
    again = attack_targets(attack, net, x[2:], y[2:], "average", ids=torch.tensor([2, 3]))
    assert torch.equal(again.targets, average.targets[2:])
