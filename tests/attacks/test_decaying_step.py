"""PGD's default step reaches the optimum of a linear model; a step that is given is taken as given."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from saddlepoint.attacks import FGSM, PGD, OutsideTopK, parse_criterion
from saddlepoint.errors import InputError
from saddlepoint.threat import L1, L2, Box, Linf


def linear():
    net = nn.Linear(50, 2, bias=False).double()
    torch.manual_seed(0)
    net.weight.data[:] = torch.randn(2, 50)
    return net


@pytest.mark.parametrize("ball", [Linf, L2, L1])
def test_the_default_reaches_the_closed_form_far_from_the_range(ball):
    net = linear()
    w = (net.weight[0] - net.weight[1]).detach()
    dual = {Linf: w.abs().sum(), L2: w.norm(), L1: w.abs().max()}[ball]
    eps = 0.01
    x = torch.full((8, 50), 0.5, dtype=torch.float64)
    shifted = nn.Sequential(net, Shift(50.0))
    result = PGD(ball(eps), steps=100)(shifted, x, torch.zeros(8, dtype=torch.int64))
    drop = (x - result.adversarials) @ w
    assert not bool(result.success.any())
    torch.testing.assert_close(drop, eps * dual.expand(8), rtol=1e-3, atol=0)


class Shift(nn.Module):
    """So much in favour of class 0 that nothing is fooled and the attack goes on to the end."""

    def __init__(self, by):
        super().__init__()
        self.by = by

    def forward(self, z):
        return z + torch.tensor([self.by, 0.0], dtype=z.dtype)


def test_a_step_that_is_given_is_constant_unless_said_otherwise():
    assert PGD(L2(1.0)).decays
    assert PGD(L1(1.0)).decays
    assert not PGD(Linf(1.0)).decays
    assert not PGD(L2(1.0), step_size=0.1).decays
    assert not PGD(L2(1.0), relative_step=2.5).decays
    assert PGD(L2(1.0), step_size=0.1, schedule="cosine").decays


def test_budgets_may_be_any_real_number_but_no_truth_value():
    x, y = torch.tensor([[0.5, 0.4]]), torch.tensor([0])
    eps = Linf(np.float32(0.1)).eps
    assert type(eps) is float
    assert bool(FGSM(Linf(np.float32(0.1)))(nn.Identity(), x, y).success)
    with pytest.raises(InputError, match="eps is True"):
        Linf(True)


def test_box_bounds_of_one_image_serve_all_and_others_are_refused():
    x, y = torch.full((4, 1, 2, 2), 0.5), torch.zeros(4, dtype=torch.int64)
    net = nn.Flatten()
    for shape in ((1, 1, 2, 2), (1, 2, 2), (4, 1, 2, 2)):
        box = Box(torch.full(shape, 0.4), torch.full(shape, 0.6))
        assert PGD(box, steps=2)(net, x, y).adversarials.shape == x.shape
    with pytest.raises(InputError, match=r"bounds of shape \(3,\)"):
        PGD(Box(torch.zeros(3), 1.0))(net, x, y)


def test_criteria_by_name():
    assert parse_criterion("outside-top-5") == OutsideTopK(5)
    for text in ("outside-top-²", "outside-top-", "outside-top-0", "top-5", ""):
        with pytest.raises(InputError):
            parse_criterion(text)
