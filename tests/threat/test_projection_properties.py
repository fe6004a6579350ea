"""Projection is idempotent, and its result is in the ball and in the range, in every norm and
dtype.
"""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from saddlepoint.threat import L0, L1, L2, Box, Linf, Patches, Rescaled

SHAPE = (3, 3, 2, 2)
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
NORMS = ["linf", "l2", "l1", "l0", "l0-pixel", "box", "linf-normalised", "l2-normalised"]
NORMS += ["patches", "patches-inside"]


def threat(name: str, eps: float | Tensor, lower=0.0, upper=1.0):
    if name.startswith("l0"):
        eps = eps.mul(8).round() if isinstance(eps, Tensor) else max(1, min(8, round(eps * 8)))
        return L0(eps, lower, upper, per="pixel" if name == "l0-pixel" else "feature")
    if name.startswith("patches"):
        eps = eps.mul(8).round() if isinstance(eps, Tensor) else max(1, min(3, round(eps * 8)))
        inside = 0.1 if name == "patches-inside" else math.inf
        return Patches(eps, lower, upper, size=1, inside=inside)
    if name == "box":
        centre = torch.linspace(0.2, 0.8, 12).reshape(SHAPE[1:])
        return Box((centre - 0.1).double(), (centre + 0.15).double())
    if name.endswith("normalised"):
        ball = {"linf": Linf, "l2": L2}[name.split("-")[0]]
        return Rescaled.pixels(ball(eps), (0.48, 0.45, 0.1), (0.23, 0.05, 0.3))
    return {"linf": Linf, "l2": L2, "l1": L1}[name](eps, lower, upper)


def pixels(generator: torch.Generator) -> Tensor:
    """Images of which about a third of the pixels are exactly 0 or exactly 1."""
    x = torch.rand(SHAPE, generator=generator, dtype=torch.float64)
    return (1.5 * x - 0.25).clamp(0, 1)


@st.composite
def cases(draw):
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    images = pixels(generator)
    scale = draw(st.sampled_from([1e-4, 0.1, 1.0, 30.0, 1e30]))
    wanted = images + scale * torch.randn(SHAPE, generator=generator, dtype=torch.float64)
    if draw(st.booleans()):
        wanted[:, 0] = images[:, 0]
    eps = draw(st.sampled_from([1e-6, 1e-3, 8 / 255, 0.5, 3.0, 1e3]))
    per_sample = draw(st.booleans())
    budget = torch.tensor([eps, 2 * eps, 0.0], dtype=torch.float64) if per_sample else eps
    return images, wanted, budget


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NORMS)
@given(cases())
def test_the_projection_is_feasible_idempotent_and_in_single_precision_at_least(name, dtype, case):
    images, wanted, eps = case
    images, wanted = images.to(dtype), wanted.clamp(-6e4, 6e4).to(dtype)
    if dtype in (torch.float32, torch.float64):
        wanted = case[1].to(dtype)
    ball = threat(name, eps)
    once = ball.project(images, ball.parametrise(images) + (wanted - images))
    fine = dtype == torch.float64 or ball.parametrise(images).dtype == torch.float64
    assert once.dtype == (torch.float64 if fine else torch.float32)
    assert bool(once.isfinite().all())
    assert bool(ball.contains(images, ball.render(images, once)).all())
    assert torch.equal(ball.project(images, once), once)


@pytest.mark.parametrize("name", ["linf", "l2", "l1", "l0", "l0-pixel", "patches"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_bounds_per_channel_hold_exactly(name, dtype):
    lower, upper = (0.1, 0.3, 0.0), (0.7, 0.9, 0.6)
    generator = torch.Generator().manual_seed(0)
    working = torch.promote_types(dtype, torch.float32)
    low, high = (torch.tensor(b, dtype=working).reshape(3, 1, 1) for b in (lower, upper))
    images = low + (high - low) * torch.rand(SHAPE, generator=generator, dtype=working)
    images = images.clamp(low, high).to(dtype)
    wanted = (images + 5 * torch.randn(SHAPE, generator=generator)).to(dtype)
    ball = threat(name, 2.0, lower, upper)
    point = ball.project(images, wanted)
    assert bool(((point >= low) & (point <= high)).all())
    assert bool(ball.contains(images, point).all())


@pytest.mark.parametrize("ball", [L2, L1])
@pytest.mark.parametrize("eps", [1e-7, 1e-5, 1e-3, 0.1])
def test_rounding_does_not_carry_a_small_ball_out_of_itself(ball, eps):
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(50, 3072, generator=generator)
    wanted = images + torch.randn(50, 3072, generator=generator)
    point = ball(eps).project(images, wanted)
    assert bool(ball(eps).contains(images, point).all())
    assert bool((ball(eps).distance(images, point) <= eps * (1 + 1e-6)).all())


@pytest.mark.parametrize("name", NORMS)
def test_contains_rejects_what_is_outside_the_ball_the_range_or_the_numbers(name):
    images = torch.full(SHAPE, 0.5)
    ball = threat(name, 0.25)
    inside = ball.render(images, ball.project(images, ball.parametrise(images)))
    outside, below, above, nan = (inside.clone() for _ in range(4))
    outside += 0.4
    below[:, 0, 0, 0], above[:, 0, 0, 0], nan[:, 0, 0, 0] = -1e-4, 1.0001, math.nan
    assert bool(ball.contains(images, inside).all())
    for candidate in (outside, below, above, nan):
        assert not bool(ball.contains(images, candidate).any())


@pytest.mark.parametrize("ball", [Linf, L2, L1, L0])
def test_the_budget_is_each_samples_own(ball):
    eps = torch.tensor([1.0, 2.0, 3.0])
    images = torch.full(SHAPE, 0.5)
    threat_model = ball(eps, -math.inf, math.inf)
    wanted = images + torch.linspace(5, 9, 12).reshape(SHAPE[1:])
    point = threat_model.project(images, wanted)
    assert torch.allclose(threat_model.distance(images, point), eps.double(), rtol=1e-6)
    one = threat_model.at(torch.tensor([2])).project(images[2:], wanted[2:])
    assert torch.equal(one, point[2:])
