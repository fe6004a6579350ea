"""The steepest direction attains the dual norm, for gradients of any size, and is never NaN."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saddlepoint.threat import L0, L1, L2, Box, Linf, Patches, Rescaled

DUAL = [(Linf, math.inf, 1), (L2, 2, 2), (L1, 1, math.inf)]
BALLS = [
    Linf(0.1),
    L2(0.1),
    L1(0.1),
    L0(2),
    Patches(2, size=1),
    Box(0.0, 1.0),
    Rescaled(L2(0.1), (0.0,) * 3, (1.0,) * 3),
]


def sizes(x: torch.Tensor, p: float) -> torch.Tensor:
    return torch.linalg.vector_norm(x.double().flatten(1), p, dim=1)


@pytest.mark.parametrize(("ball", "p", "dual"), DUAL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(seed=st.integers(0, 2**31), scale=st.sampled_from([1e-38, 1e-30, 1e-8, 1.0, 1e8, 1e30]))
def test_it_has_unit_norm_and_attains_the_dual_norm(ball, p, dual, dtype, seed, scale):
    generator = torch.Generator().manual_seed(seed)
    gradient = (torch.randn(4, 3, 2, 2, generator=generator) * scale).to(dtype)
    step = ball(0.1).steepest_direction(gradient)
    assert step.dtype == dtype
    assert torch.allclose(sizes(step, p), torch.ones(4).double(), rtol=1e-6)
    ascent = (gradient.double() * step.double()).flatten(1).sum(1)
    assert torch.allclose(ascent / sizes(gradient, dual), torch.ones(4).double(), rtol=1e-5)


@pytest.mark.parametrize("ball", BALLS, ids=str)
def test_a_zero_gradient_gives_a_zero_step(ball):
    step = ball.steepest_direction(torch.zeros(2, 3, 2, 2), at=torch.full((2, 3, 2, 2), 0.5))
    assert torch.equal(step, torch.zeros(2, 3, 2, 2))


@pytest.mark.parametrize("ball", BALLS, ids=str)
@pytest.mark.parametrize("value", [1e-45, 1e-38, 3e38])
def test_the_ends_of_single_precision_give_a_finite_step(ball, value):
    gradient = torch.zeros(1, 3, 2, 2)
    gradient[0, 1] = value
    step = ball.steepest_direction(gradient, at=torch.full((1, 3, 2, 2), 0.5))
    assert bool(step.isfinite().all())
    assert float(step[0, 1].sum()) > 0
    assert float(step[0, [0, 2]].abs().sum()) == 0


@given(k=st.integers(1, 20), seed=st.integers(0, 2**31))
def test_an_l1_step_is_shared_by_the_k_largest(k, seed):
    gradient = torch.randn(2, 3, 2, 2, generator=torch.Generator().manual_seed(seed))
    step = L1(1).steepest_direction(gradient, k=k)
    chosen = step != 0
    count = min(k, 12)
    assert chosen.flatten(1).sum(1).tolist() == [count, count]
    assert torch.allclose(step[chosen].abs(), torch.full((2 * count,), 1 / count))
    for g, c in zip(gradient.abs(), chosen, strict=True):
        assert float(g[c].min()) >= float(g[~c].max() if bool((~c).any()) else 0)
    assert torch.equal(step[chosen].sign(), gradient[chosen].sign())


def test_zeros_among_the_k_largest_take_no_share():
    step = L1(1).steepest_direction(torch.tensor([[2.0, 0.0, -1.0, 0.0]]), k=4)
    assert torch.equal(step, torch.tensor([[0.5, 0.0, -0.5, 0.0]]))


@pytest.mark.parametrize("ball", [L2, L1])
def test_what_the_range_forbids_takes_no_share(ball):
    at = torch.tensor([[1.0, 0.0, 0.5, 0.5]])
    gradient = torch.tensor([[9.0, -9.0, 3.0, 4.0]])
    step = ball(1.0).steepest_direction(gradient, at)
    assert torch.equal(step[:, :2], torch.zeros(1, 2))
    assert float(sizes(step, 2 if ball is L2 else 1)) == pytest.approx(1)
    back = ball(1.0).steepest_direction(-gradient, at)
    assert float(back[:, :2].abs().sum()) > 0, "a pixel on its bound may still leave it"


def test_per_channel_bounds_are_each_channels_own():
    ball = L2(1.0, lower=(0.0, 0.2), upper=(0.5, 1.0))
    at = torch.tensor([0.5, 0.5]).reshape(1, 2, 1, 1)
    step = ball.steepest_direction(torch.ones(1, 2, 1, 1), at)
    assert step.flatten().tolist() == [0.0, 1.0]
