"""Budgets in normalised space: units, exactness, and gradients that do not vanish anywhere."""

from __future__ import annotations

import math

import pytest
import torch

from saddlepoint.errors import InputError
from saddlepoint.threat import L0, L1, L2, Linf, Rescaled

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
EPS = 8 / 255


def images(count: int = 50) -> torch.Tensor:
    x = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    return (1.5 * x - 0.25).clamp(0, 1)


def test_a_normalised_budget_is_the_deviation_times_as_large_in_pixels():
    x = torch.full((1, 3, 1, 1), 0.5, dtype=torch.float64)
    threat = Rescaled.pixels(Linf(EPS), MEAN, STD)
    moved = threat.render(x, threat.project(x, threat.parametrise(x) + 9)) - x
    assert moved.flatten().tolist() == pytest.approx([EPS * s for s in STD], rel=1e-9)
    assert float(threat.distance(x, x + moved)) == pytest.approx(EPS, rel=1e-9)
    assert threat.space == "normalised"
    assert "normalised" in str(threat)


@pytest.mark.parametrize("std", [0.3, 0.05, 0.005])
@pytest.mark.parametrize(
    "ball", [Linf(EPS), Linf(1.0), L2(1e-3), L2(2.0), L1(0.01), L1(20)], ids=str
)
def test_rendered_points_are_in_the_ball_and_in_zero_to_one(ball, std):
    x = images()
    threat = Rescaled.pixels(ball, (0.1307, 0.5, 0.9), (std, 2 * std, std))
    z = threat.parametrise(x)
    z = z + 3 * torch.randn(z.shape, generator=torch.Generator().manual_seed(1))
    rendered = threat.render(x, threat.project(x, z))
    assert bool(threat.contains(x, rendered).all())
    assert float(rendered.min()) >= 0
    assert float(rendered.max()) <= 1


def test_what_has_not_moved_is_the_image_to_the_last_bit():
    x = images()
    threat = Rescaled.pixels(Linf(EPS), MEAN, STD)
    z = threat.parametrise(x)
    assert torch.equal(threat.render(x, z), x)
    z[:, 0] += 0.01
    assert torch.equal(threat.render(x, z)[:, 1:], x[:, 1:])


@pytest.mark.parametrize("offset", [0.0, 0.01, -0.01])
def test_the_gradient_of_rendering_is_the_deviation_everywhere(offset):
    """At the clean image and on the bounds too: a zero there would leave the attack standing."""
    x = images(4)
    threat = Rescaled.pixels(Linf(EPS), MEAN, STD)
    z = threat.project(x, threat.parametrise(x) + offset).requires_grad_()
    threat.render(x, z).sum().backward()
    assert torch.equal(z.grad, torch.tensor(STD).reshape(3, 1, 1).expand(x.shape))


def test_the_reports_clip_pulls_clean_pixels_beyond_it_to_the_bound():
    x = torch.tensor([0.0, 1.0, 0.5]).reshape(1, 3, 1, 1)  # normalised −2.118, 2.43, 0.42
    threat = Rescaled(Linf(EPS, -2.0, 2.0), MEAN, STD)
    z = threat.project(x, threat.parametrise(x))
    assert z.flatten().tolist() == pytest.approx([-2.0, 2.0, (0.5 - 0.406) / 0.225])
    rendered = threat.render(x, z)
    assert bool(threat.contains(x, rendered))
    assert not bool(threat.contains(x, x)), "the clean image is itself outside [−2, 2]"
    assert not bool(threat.contains(x, rendered + torch.tensor([0.0, -0.1, 0.0]).reshape(3, 1, 1)))


def test_without_the_clip_pixels_may_leave_zero_to_one():
    x = torch.zeros(1, 3, 1, 1)
    threat = Rescaled(Linf(EPS, -math.inf, math.inf), MEAN, STD)
    rendered = threat.render(x, threat.project(x, threat.parametrise(x) - 1))
    assert rendered.flatten().tolist() == pytest.approx([-EPS * s for s in STD], rel=1e-5)
    assert bool(threat.contains(x, rendered))


@pytest.mark.parametrize(
    ("mean", "std"), [((0.5,), (0.5, 0.5)), ((0.5,), (0.0,)), ((0.5,), (-1.0,))]
)
def test_constants_that_make_no_sense_are_named(mean, std):
    with pytest.raises(InputError, match=r"mean .* std .* need equal lengths and std > 0"):
        Rescaled(Linf(EPS), mean, std)


def test_black_and_white_pixels_lie_on_the_normalised_bounds():
    """A rounding error there would count every black pixel as changed in L0."""
    x = images().round()
    for mean, std in ((0.1307, 0.3081), (0.485, 0.229), (0.9, 0.005)):
        threat = Rescaled.pixels(L0(1), (mean,) * 3, (std,) * 3)
        rendered = threat.render(x, threat.project(x, threat.parametrise(x)))
        assert torch.equal(rendered, x)
