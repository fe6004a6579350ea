"""FAB against the published step, the exact optimum of affine models, and awkward ones."""

from __future__ import annotations

import math

import pytest
import torch
from affine import affine, optimum
from networks import Affine, conv_case, mlp
from torch import nn

from saddlepoint.attacks import BinaryLogit
from saddlepoint.attacks.minimum_norm.deepfool import DeepFool
from saddlepoint.attacks.minimum_norm.fab import FAB
from saddlepoint.errors import InputError
from saddlepoint.threat import L0, L1, L2, Linf, Rescaled

BALLS = (L1, L2, Linf)


def curved(count=16):
    net = mlp(12, classes=4)
    x = torch.rand(count, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    return net, x, net(x).argmax(1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("classes", "targets"), [(2, None), (6, 5), pytest.param(6, None, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("ball", BALLS)
def test_affine_models_are_fooled_at_the_optimum_of_boundary_and_range(
    ball, classes, targets, dtype
):
    net, x, y = affine(classes, dtype=dtype)
    result = FAB(ball(), steps=15, targets=targets)(net, x, y)
    ratio = result.distance / optimum(net, x, y, ball.p)
    assert bool(result.success.all())
    assert 0.999 <= float(ratio.min()) <= float(ratio.max()) <= 1.02


@pytest.mark.parametrize("ball", BALLS)
def test_one_published_step_lies_beyond_the_boundary_by_eta(ball):
    """From the clean image both ways are the same, so that α does not matter."""
    net, x, y = affine(2, clamp=False)
    free = Rescaled(ball(lower=-math.inf, upper=math.inf), (0.0,), (1.0,))
    for eta in (1.05, 1.5):
        result = FAB(free, steps=1, eta=eta, search=0, bisections=0)(net, x, y)
        least = optimum(net, x, y, ball.p, -math.inf, math.inf)
        assert torch.allclose(result.distance, eta * least, rtol=2e-3)
        assert bool((result.forwards == 4).all())  # clean, gradient, new iterate, judge
        assert bool((result.backwards == 1).all())


def test_each_option_of_the_loop_matters():
    net, x, y = curved()
    plain = {"steps": 6, "search": 0, "bisections": 0}
    base = FAB(L2(), **plain)(net, x, y).distance
    for options in (
        {"alpha_max": 0.9},
        {"beta": 0.5},
        {"eta": 1.4},
        {"search": 3},
        {"bisections": 6},
    ):
        other = FAB(L2(), **plain | options)(net, x, y).distance
        assert not torch.allclose(other, base, rtol=1e-4), options
    assert float(FAB(L2(), **plain | {"search": 3})(net, x, y).distance.mean()) < float(base.mean())


@pytest.mark.parametrize("ball", BALLS)
def test_curved_boundaries_are_met_nearer_than_by_deepfool(ball):
    net, x, y = curved()
    result = FAB(ball(), steps=20)(net, x, y)
    assert bool(result.success.all())
    if ball is not L1:
        rough = DeepFool(ball(), bisections=0)(net, x, y)
        assert float(result.distance.mean()) < 0.98 * float(rough.distance.mean())
    each = FAB(ball(), steps=20, targets=3)(net, x, y)
    assert float(each.distance.mean()) < 1.01 * float(result.distance.mean())
    few = FAB(ball(), steps=20, targets=1)(net, x, y)
    assert float(few.distance.mean()) > float(each.distance.mean())


def test_a_target_costs_a_backward_pass_per_step():
    net, x, y = affine(6)
    published = {"steps": 4, "search": 0, "bisections": 0}
    for targets, passes in ((None, 5), (1, 1), (3, 3), (99, 5)):
        result = FAB(L2(), targets=targets, **published)(net, x, y)
        assert bool((result.backwards == 4 * passes).all())


def test_of_many_classes_the_highest_few_are_looked_at_and_miss_nothing():
    net = mlp(12, classes=60)
    x = torch.rand(6, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    y = net(x).argmax(1)
    few, every = (FAB(L2(), steps=5, **how)(net, x, y) for how in ({}, {"classes": "all"}))
    assert int(few.backwards.max()) <= 10 * 6
    assert int(every.backwards.max()) >= 59 * 5
    assert torch.allclose(few.distance, every.distance, rtol=1e-6)


def test_restarts_find_nearer_points_and_draw_per_sample():
    net, x, y = curved()
    once, often = (FAB(L2(), steps=8, restarts=n)(net, x, y) for n in (1, 4))
    assert bool((often.distance <= once.distance * (1 + 1e-9)).all())
    assert float(often.distance.mean()) < float(once.distance.mean())
    rows = torch.tensor([7, 3])
    part = FAB(L2(), steps=8, restarts=4)(net, x[rows], y[rows], ids=rows)
    assert torch.allclose(part.adversarials, often.adversarials[rows], atol=1e-9)
    near = FAB(L2(), steps=8, restarts=4, eps=1e-6)(net, x, y)
    assert not torch.allclose(near.distance, often.distance, rtol=1e-6)


def test_a_restart_without_a_success_so_far_is_within_eps():
    """Flat around the clean image: only a start further out finds a gradient."""

    class Well(nn.Module):
        def forward(self, x):
            far = (x.flatten(1) - 0.5).abs().amax(1)
            return torch.stack([torch.full_like(far, 0.1), 5 * (far - 0.1).clamp_min(0)], 1)

    x, y = torch.full((6, 8), 0.5), torch.zeros(6, dtype=torch.int64)
    with pytest.warns(UserWarning, match="exactly 0"):
        assert not bool(FAB(Linf(), steps=5, restarts=2, eps=0.02)(Well(), x, y).success.any())
    result = FAB(Linf(), steps=5, restarts=4, eps=0.9)(Well(), x, y)
    assert bool(result.success.all())
    assert float(result.distance.max()) < 0.125
    assert bool(FAB(Linf(), steps=5, restarts=6)(Well(), x, y).success.any())


@pytest.mark.parametrize("ball", BALLS)
def test_targets_of_the_call_masks_and_one_logit(ball):
    net, x, y = affine(4)
    targets = (y + 2) % 4  # all in reach
    result = FAB(ball(), steps=25)(net, x, y, targets)
    assert float(result.success.double().mean()) > 0.9
    hit = net(result.adversarials).argmax(1) == targets
    assert bool((hit == result.success).all())
    net, x, y = affine(2)
    two = FAB(ball(), steps=15)(net, x, y)
    told = FAB(ball(), steps=15, targets=1)(net, x, y, 1 - y)
    assert torch.allclose(told.distance, two.distance, rtol=1e-3)
    single = nn.Sequential(net, nn.Linear(2, 1, bias=False, dtype=torch.float64))
    single[1].weight.data = torch.tensor([[-1.0, 1.0]], dtype=torch.float64)
    one = FAB(ball(), steps=15, criterion=BinaryLogit())(single, x, y)
    assert torch.allclose(one.distance, two.distance, rtol=2e-3)
    mask = torch.arange(20) % 3 > 0
    masked = FAB(ball(), steps=15, restarts=2)(net, x, y, mask=mask)
    assert int(masked.success.sum()) > 5
    assert torch.equal(masked.adversarials[:, ~mask], x[:, ~mask])
    scaled = Rescaled.pixels(ball(), (0.4,), (0.25,))
    shaped = FAB(scaled, steps=15)(net, x.reshape(-1, 1, 4, 5), y)
    assert torch.allclose(shaped.distance / 4, two.distance, rtol=1e-2)


@pytest.mark.parametrize("targets", [None, 2])
@pytest.mark.parametrize("ball", BALLS)
def test_a_sample_s_result_does_not_depend_on_the_batch(ball, targets):
    net, x, y = conv_case(8, torch.float64)
    attack = FAB(ball(), steps=4, targets=targets, restarts=2)
    whole, rows = attack(net, x, y), torch.tensor([6, 4])
    part = attack(net, x[rows], y[rows], ids=rows)
    assert bool(whole.success.all())
    assert torch.allclose(part.adversarials, whole.adversarials[rows], atol=1e-7)


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e25])
@pytest.mark.parametrize("ball", BALLS)
@pytest.mark.filterwarnings("ignore:the gradient was exactly 0")
def test_gradients_of_any_size_leave_numbers(ball, scale):
    net, x, y = affine(3, dtype=torch.float32)
    scaled = Affine(net.weight.detach() * scale, net.bias.detach() * scale)
    result = FAB(ball(), steps=10)(scaled, x, y if scale else torch.zeros_like(y))
    assert bool(result.adversarials.isfinite().all())
    assert bool(result.success.all()) == bool(scale)


def test_impossible_options_are_refused():
    wrong = {
        "steps": 0, "targets": 0, "classes": 0, "restarts": 0, "eps": 0.0, "alpha_max": 0.0, "eta": 0.9,
        "beta": 1.1, "search": -1, "bisections": -1,
    }  # fmt: skip
    for name, value in wrong.items():
        with pytest.raises(InputError, match=name):
            FAB(L2(), **{name: value})
    with pytest.raises(InputError, match="L0"):
        FAB(L0())
