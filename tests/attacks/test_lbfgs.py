"""L-BFGS: the optimum of a linear model with the box active, and the two-loop recursion."""

from __future__ import annotations

import warnings

import pytest
import torch
from linear import l2_case
from networks import conv_case

from saddlepoint.attacks.minimum_norm.lbfgs import LBFGS, two_loops
from saddlepoint.errors import InputError
from saddlepoint.threat import L2


def test_the_optimum_of_a_linear_model_with_the_box_active():
    net, x, exact = l2_case()
    reachable = exact < 9
    result = LBFGS(L2())(net, x, torch.zeros(8, dtype=torch.int64))
    share = result.distance[reachable] / exact[reachable]
    assert float(share.min()) >= 0.999
    assert float(share.max()) <= 1.02


def test_two_loops_is_the_inverse_of_a_quadratic_once_every_direction_is_known():
    scale = torch.tensor([[2.0, 5.0]], dtype=torch.float64)
    pairs = [(s, s * scale) for s in torch.eye(2, dtype=torch.float64)[:, None]]
    gradient = torch.tensor([[3.0, -4.0]], dtype=torch.float64)
    assert torch.allclose(two_loops(gradient, pairs), gradient / scale)


def test_it_fools_a_network_targeted_or_not():
    net, x, y = conv_case(4, torch.float64, wrong=0)
    for targets in (None, (y + 1) % 5):
        assert bool(LBFGS(L2())(net, x, y, targets).success.all())


class Scaled(torch.nn.Module):
    def __init__(self, net, factor, offset=0.0):
        super().__init__()
        self.net, self.factor, self.offset = net, factor, offset

    def forward(self, x):
        return self.factor * self.net(x) + self.offset


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize(("factor", "offset"), [(1e-4, 0.0), (30.0, 0.0), (1e6, 0.0), (1.0, 1e4)])
def test_the_scale_and_the_offset_of_the_logits_change_nothing(factor, offset, targeted):
    net, x, y = conv_case(3, torch.float64, wrong=0)
    targets = (y + 1) % 5 if targeted else None
    attack = LBFGS(L2(), searches=3)
    right = attack(net, x, y, targets)
    seen = attack(Scaled(net, factor, offset), x, y, targets)
    assert bool(seen.success.all())
    assert torch.allclose(seen.distance, right.distance, rtol=1e-3)


def test_the_published_loss_stays_by_name_and_depends_on_the_scale():
    net, x, y = conv_case(3, wrong=0)
    attack = LBFGS(L2(), searches=4, loss="softmax-cross-entropy")
    assert bool(attack(net, x, y).success.all())
    with warnings.catch_warnings():  # told or not
        warnings.simplefilter("ignore")
        assert float(attack(Scaled(net, 1e4), x, y).success_rate) < 0.5
    with pytest.raises(InputError, match="logits"):
        LBFGS(L2(), loss="logits")
