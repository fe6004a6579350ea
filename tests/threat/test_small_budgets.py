"""Budgets of a few roundings: projections stay inside exactly, and the judge's slack is relative."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saddlepoint.streams import Keys
from saddlepoint.threat import L1, L2, Box, Linf, Rescaled

SMALL = [0.0, 1e-9, 3e-8, 1e-7, 1e-6, 1e-5, 1e-4, 8 / 255]
RANGES = [(0.0, 1.0), (-2.0, 2.0), (-1e4, 1e4)]


def pixel(value: float, dtype: torch.dtype) -> float:
    return float(torch.tensor(value, dtype=dtype))


@given(
    x=st.floats(-2, 2, width=32),
    z=st.floats(-3, 3, width=32),
    eps=st.one_of(st.sampled_from(SMALL), st.floats(0, 3)),
    double=st.booleans(),
)
def test_linf_goes_to_the_nearest_number_that_is_exactly_inside(x, z, eps, double):
    dtype, step = (torch.float64, np.float64) if double else (torch.float32, np.float32)
    images, wanted = (torch.tensor([[v]], dtype=dtype) for v in (x, z))
    ball = Linf(eps, -2.0, 2.0)
    point = ball.project(images, wanted)
    got, x, z = step(float(point)), Fraction(x), Fraction(z)
    assert abs(Fraction(float(got)) - x) <= Fraction(eps)
    if (
        Fraction(float(got)) != z
    ):  # then the next on the way is outside, but for the budget's rounding
        ahead = Fraction(float(np.nextafter(got, step(float(z)))))
        spared = Fraction(eps) * Fraction(1, 2**52 if double else 2**23)
        assert abs(ahead - x) > Fraction(eps) - spared or abs(ahead) > 2
    assert torch.equal(ball.project(images, point), point)
    each = Linf(torch.tensor([eps], dtype=torch.float64), -2.0, 2.0)
    assert torch.equal(each.project(images, wanted), point)
    assert bool(ball.contains(images, point))


@pytest.mark.parametrize(("low", "high"), RANGES)
@pytest.mark.parametrize("eps", [1e-7, 1e-6, 1e-5, 1e-3, 0.5, 3.0])
@pytest.mark.parametrize("ball", [L2, L1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_l2_and_l1_are_inside_by_the_measure_of_the_judge(ball, eps, low, high, dtype):
    generator = torch.Generator().manual_seed(0)
    images = (low + (high - low) * torch.rand(40, 300, generator=generator)).to(dtype)
    for size in (2e-7, 1.0):  # a hair outside, and far
        wanted = images + size * eps * torch.randn(40, 300, generator=generator).to(dtype)
        for budget in (eps, torch.full((40,), eps, dtype=torch.float64)):
            threat = ball(budget, low, high)
            for z in (wanted, wanted.double()):
                point = threat.project(images, z)
                assert point.dtype == z.dtype
                assert bool((threat.distance(images, point) <= eps).all())
                assert torch.equal(threat.project(images, point), point)


@pytest.mark.parametrize("ball", [L2, L1])
def test_what_rounding_leaves_of_a_budget_is_spent(ball):
    """In float64 it is all of it; in float32 each entry loses less than one rounding."""
    generator = torch.Generator().manual_seed(0)
    images = 0.25 + 0.5 * torch.rand(40, 12, generator=generator)
    wanted = images.double() + torch.randn(40, 12, generator=generator)
    for eps in (1e-6, 1e-4, 0.1):
        exact = ball(eps).project(images.double(), wanted)
        assert bool((ball(eps).distance(images, exact) > eps * (1 - 1e-12) - 2e-15).all())
        point = ball(eps).render(images, ball(eps).project(images, wanted))
        assert float((point.double() - exact).abs().max()) <= 2.0**-24 + 1e-6 * eps


@pytest.mark.parametrize("eps", SMALL)
@pytest.mark.parametrize("value", [0.0, 1e-3, 0.3, 0.75, 1.0])
def test_the_judge_allows_a_millionth_and_one_rounding_of_the_pixel(eps, value):
    x = torch.full((1, 1), value)
    sign = -1.0 if value > 0.5 else 1.0
    ulp = float(torch.nextafter(x, torch.zeros(1)).double().sub(x).abs()) if value else 0.0
    inside, outside = (value + sign * (eps * (1 + 1e-6 * k) + k * ulp) for k in (0.9, 3.5))
    ball = Linf(eps)
    assert bool(ball.contains(x, torch.tensor([[inside]], dtype=torch.float64))) == (
        eps > 0 or inside == value
    )
    if outside != value:
        assert not bool(ball.contains(x, torch.tensor([[outside]], dtype=torch.float64)))


@pytest.mark.parametrize("levels", [1, 8, 16])
def test_every_8_bit_pair_at_the_budget_is_inside_and_one_level_more_is_not(levels):
    clean = torch.arange(256, dtype=torch.uint8).float().div(255)[:, None]
    other = ((clean * 255).round() + levels).clamp_max(255) / 255
    for x, c in ((clean, other), (other, clean)):
        assert bool(Linf(levels / 255).contains(x, c).all())
        assert not bool(
            Linf(levels / 255).contains(x[:200], (c - x).sign()[:200] / 255 + c[:200]).any()
        )


@pytest.mark.parametrize("eps", [1e-7, 1e-6, 1e-4, 0.1])
@pytest.mark.parametrize("std", [0.3, 0.005])
@pytest.mark.parametrize("ball", [Linf, L2, L1])
def test_in_normalised_space_rendered_points_are_inside(ball, eps, std):
    generator = torch.Generator().manual_seed(0)
    x = (1.4 * torch.rand(60, 3, 4, 4, generator=generator) - 0.2).clamp(0, 1)
    threat = Rescaled.pixels(ball(eps), (0.48, 0.45, 0.9), (std, 0.2, std))
    z = threat.parametrise(x) + torch.randn(x.shape, generator=generator)
    rendered = threat.render(x, threat.project(x, z))
    assert float(threat.distance(x, rendered).max()) <= eps + 1e-15
    assert bool(threat.contains(x, rendered).all())
    # One rounding of a pixel is up to 6e-8/std of a budget: what is more than that, is used.
    if ball is Linf:
        room = (rendered - x).double().abs() + 6e-8
        free = (z - threat.parametrise(x)).abs() > eps
        inner = (x > 0.01) & (x < 0.99) & free
        full = eps * torch.tensor([std, 0.2, std], dtype=torch.float64).reshape(3, 1, 1)
        assert bool((room >= full.minimum(torch.tensor(0.005)) * 0.999)[inner].all())


@pytest.mark.parametrize(("lower", "upper"), [(0.1, 0.7), (0.3, 0.9), (0.1, 0.1)])
def test_the_bounds_of_a_box_are_rounded_inwards(lower, upper):
    x = torch.linspace(0, 1, 11)[:, None]
    for low, high in ((lower, upper), (torch.tensor([lower]).double(), upper)):
        box = Box(low, high)
        point = box.project(x, x)
        assert bool(box.contains(x, point).all())
        if lower < upper:
            assert float(point.min()) >= lower
            assert float(point.max()) <= upper
        nearest = torch.tensor([[lower], [upper]])  # as somebody else would round them
        assert bool(box.contains(nearest, nearest).all())
        assert not bool(box.contains(nearest, nearest + 1e-6).all())


@pytest.mark.parametrize("shape", [(5,), (4, 3), (2, 4, 3), (2, 3, 4, 2)])
def test_a_box_follows_its_samples_whatever_their_axes(shape):
    x = torch.rand(6, *shape, generator=torch.Generator().manual_seed(0))
    rows = torch.tensor([4, 1])
    each = Box(x - 0.1, x + 0.2).fitted(x).at(rows)
    assert torch.equal(each.project(x[rows], x[rows] + 1), x[rows] + 0.2)
    one = Box(x[0] - 0.1, 2.0).fitted(x)
    assert torch.equal(one.at(rows).project(x[rows], x[rows] - 9), (x[:1] - 0.1).expand_as(x[rows]))
    mixed = Box(x[0] - 1, x + 0.2).fitted(x).at(rows)
    assert torch.equal(mixed.project(x[rows], x[rows] + 1), x[rows] + 0.2)


def test_a_budget_of_0_leaves_the_image_alone():
    x = torch.rand(4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    keys = Keys(0, torch.arange(4))
    for threat in (Linf(0), L2(0.0), L1(0), Linf(torch.zeros(4)), L2(torch.zeros(4))):
        assert torch.equal(threat.project(x, x + 0.3), x)
        assert torch.equal(threat.random_start(x, keys), x)
        assert bool(threat.contains(x, x).all())
        nudged = torch.nextafter(x, torch.ones_like(x))
        assert not bool(threat.contains(x, nudged).any())
    assert str(Linf(0)) == "Linf 0"
    assert math.copysign(1, Linf(-0.0).widest()) == 1
