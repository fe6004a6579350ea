"""Projection returns the nearest point: against SciPy's solvers, brute force and closed forms."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from saddlepoint.threat import L0, L1, L2, Linf, Rescaled

D = 4


@st.composite
def cases(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    x = np.clip(rng.uniform(-0.3, 1.3, D), 0, 1)  # some pixels are exactly 0 or 1
    scale = draw(st.sampled_from([0.3, 1.0, 4.0]))
    z = x + scale * rng.standard_normal(D)
    if draw(st.booleans()):
        z[0] = x[0]
    eps = draw(st.sampled_from([0.05, 0.3, 0.8, 2.0]))
    return x, z, eps


def project(ball, x, z):
    return ball.project(torch.tensor(x)[None], torch.tensor(z)[None])[0].numpy()


def solve(x, z, eps, p):
    """The nearest point by SLSQP; L1 splits the change in its positive and negative part."""
    if p == 2:
        result = optimize.minimize(
            lambda v: ((v - z) ** 2).sum(), np.clip(x, 0, 1), jac=lambda v: 2 * (v - z),
            bounds=[(0, 1)] * D, method="SLSQP", options={"ftol": 1e-15, "maxiter": 500},
            constraints={
                "type": "ineq",
                "fun": lambda v: eps**2 - ((v - x) ** 2).sum(),
                "jac": lambda v: -2 * (v - x),
            },
        )  # fmt: skip
        return result.x
    sides = [(0, 1 - a) for a in x] + [(0, a) for a in x]

    def point(v):
        return x + v[:D] - v[D:]

    result = optimize.minimize(
        lambda v: ((point(v) - z) ** 2).sum(), np.zeros(2 * D),
        jac=lambda v: np.concatenate([2 * (point(v) - z), -2 * (point(v) - z)]),
        bounds=sides, method="SLSQP", options={"ftol": 1e-15, "maxiter": 500},
        constraints={"type": "ineq", "fun": lambda v: eps - v.sum(), "jac": lambda v: -np.ones(2 * D)},
    )  # fmt: skip
    return point(result.x)


@pytest.mark.parametrize(("ball", "p"), [(L2, 2), (L1, 1)])
@given(case=cases())
def test_l2_and_l1_agree_with_a_general_solver(ball, p, case):
    x, z, eps = case
    ours, theirs = project(ball(eps), x, z), solve(x, z, eps, p)
    assert bool(ball(eps).contains(torch.tensor(x)[None], torch.tensor(ours)[None]))
    # The solver may end a little outside or a little early, so the distance has its tolerance.
    assert ((ours - z) ** 2).sum() <= ((theirs - z) ** 2).sum() + 1e-6
    assert np.abs(ours - theirs).max() < 2e-3


@pytest.mark.parametrize(("ball", "p"), [(L2, 2), (L1, 1)])
@given(case=cases())
def test_no_feasible_point_is_on_the_near_side(ball, p, case):
    """⟨z − Π(z), q − Π(z)⟩ ≤ 0 for every feasible q: the inequality that defines the projection."""
    x, z, eps = case
    point = project(ball(eps), x, z)
    rng = np.random.default_rng(0)
    change = rng.standard_normal((2000, D)) * rng.uniform(0, 2 * eps, (2000, 1))
    change = np.clip(x + change, 0, 1) - x
    size = np.linalg.norm(change, p, axis=1, keepdims=True)
    feasible = x + change * np.minimum(1, eps / np.maximum(size, 1e-12))
    assert ((feasible - point) @ (z - point)).max() <= 1e-6 * max(1, np.abs(z - point).max())


@given(case=cases())
def test_linf_is_two_clips(case):
    x, z, eps = case
    expected = np.clip(np.clip(z, x - eps, x + eps), 0, 1)
    assert np.abs(project(Linf(eps), x, z) - expected).max() <= 2**-52  # rounded inwards


@pytest.mark.parametrize("per", ["feature", "pixel"])
@given(seed=st.integers(0, 2**31), budget=st.integers(1, 3))
@settings(max_examples=30)
def test_l0_is_the_best_of_all_supports(per, seed, budget):
    rng = np.random.default_rng(seed)
    channels, size = 2, 4
    x = np.clip(rng.uniform(-0.3, 1.3, (channels, size)), 0, 1)
    z = x + rng.standard_normal((channels, size)) * rng.choice([0.2, 2.0])
    images, wanted = (torch.tensor(v.reshape(1, channels, 2, 2)) for v in (x, z))
    point = L0(budget, per=per).project(images, wanted)[0].numpy().reshape(channels, size)
    units = (
        [[(c, i)] for c in range(channels) for i in range(size)]
        if per == "feature"
        else [[(c, i) for c in range(channels)] for i in range(size)]
    )
    best = np.inf
    for support in itertools.combinations(units, budget):
        trial = x.copy()
        for where in itertools.chain(*support):
            trial[where] = np.clip(z[where], 0, 1)
        best = min(best, ((trial - z) ** 2).sum())
    assert ((point - z) ** 2).sum() == pytest.approx(best, rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_huge_requests_lose_no_digits(dtype):
    x = torch.tensor([[0.5, 0.5, 0.5, 1.0]], dtype=dtype)
    tie = torch.tensor([[1e30, 1e30, 0.6, 1e30]], dtype=dtype)
    expected = torch.tensor([[0.7, 0.7, 0.5, 1.0]], dtype=dtype)
    assert torch.allclose(L1(0.4).project(x, tie), expected, atol=1e-7)
    two_scales = torch.tensor([[1e30, -1e20, -1e20, 0.0]], dtype=dtype)
    expected = torch.tensor([[1.0, 0.35, 0.35, 1.0]], dtype=dtype)
    assert torch.allclose(L1(0.8).project(x, two_scales), expected, atol=1e-7)
    expected = torch.tensor([[0.5 + 0.08**0.5, 0.5 + 0.08**0.5, 0.5, 1.0]], dtype=dtype)
    assert torch.allclose(L2(0.4).project(x, tie), expected, atol=1e-6)
    assert L0(1).distance(x, L0(1).project(x, tie)).item() == 1


def test_with_an_infinite_range_only_the_ball_counts():
    inf = float("inf")
    x, z = torch.zeros(1, 3), torch.tensor([[3.0, -4.0, 0.0]])
    assert torch.allclose(L2(1, -inf, inf).project(x, z), torch.tensor([[0.6, -0.8, 0.0]]))
    assert torch.allclose(L1(3, -inf, inf).project(x, z), torch.tensor([[1.0, -2.0, 0.0]]))
    assert torch.equal(L1(inf, -inf, inf).project(x, z), z)
    assert torch.equal(L2(inf).project(x + 0.5, z), torch.tensor([[1.0, 0.0, 0.0]]))


@given(seed=st.integers(0, 2**31))
def test_in_normalised_space_the_nearest_point_is_nearest_there(seed):
    rng = np.random.default_rng(seed)
    x = torch.tensor(np.clip(rng.uniform(-0.3, 1.3, (1, 2, 1, 2)), 0, 1))
    mean, std = (0.4, 0.5), (0.1, 0.5)
    threat = Rescaled.pixels(L2(0.7), mean, std)
    normal = threat.parametrise(x)
    z = normal + torch.tensor(rng.standard_normal((1, 2, 1, 2)))
    point = threat.project(x, z)
    change = torch.tensor(rng.standard_normal((2000, 2, 1, 2)))
    low, high = threat.ball.range(x)
    change = (normal + change).clamp(low, high) - normal
    size = change.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)
    feasible = normal + change * (0.7 / size).clamp_max(1)
    assert bool((((feasible - point) * (z - point)).flatten(1).sum(1) <= 1e-6).all())
