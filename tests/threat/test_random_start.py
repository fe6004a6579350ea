"""Random starts fill the ball evenly, stay in it, and depend on (seed, id, restart) alone."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from saddlepoint.streams import Keys
from saddlepoint.threat import L0, L1, L2, Box, Linf, Patches, Rescaled

INF = math.inf
N = 4000
KEYS = Keys(3, torch.arange(N))


def draws(ball, d: int) -> torch.Tensor:
    images = torch.zeros(N, d, dtype=torch.float64)
    return ball.random_start(images, KEYS) - images


def agrees(sample: torch.Tensor, law) -> bool:
    return stats.kstest(sample.double().numpy(), law).pvalue > 1e-3


@pytest.mark.parametrize("d", [1, 2, 5])
def test_l2_radii_follow_the_volume(d):
    delta = draws(L2(0.5, -INF, INF), d)
    radii = delta.norm(dim=1) / 0.5
    assert agrees(radii**d, "uniform")
    if d > 1:
        direction = delta / delta.norm(dim=1, keepdim=True)
        # One coordinate of a uniform direction, squared, is Beta(1/2, (d − 1)/2).
        assert agrees(direction[:, 0] ** 2, stats.beta(0.5, (d - 1) / 2).cdf)


def test_linf_marginals_are_uniform_and_independent():
    delta = draws(Linf(0.5, -INF, INF), 4)
    for i in range(4):
        assert agrees(delta[:, i] + 0.5, "uniform")
    assert float(torch.corrcoef(delta.T).fill_diagonal_(0).abs().max()) < 0.06


@pytest.mark.parametrize("d", [1, 2, 6])
def test_l1_marginals_are_those_of_a_dirichlet(d):
    delta = draws(L1(2.0, -INF, INF), d)
    for i in range(d):
        assert agrees(delta[:, i].abs() / 2, stats.beta(1, d).cdf)
        assert abs(float(delta[:, i].sign().mean())) < 0.06
    assert agrees((delta.abs().sum(1) / 2) ** d, "uniform")


def test_l0_starts_change_every_feature_equally_often():
    ball = L0(2)
    images = torch.full((N, 6), 0.5)
    start = ball.random_start(images, KEYS)
    changed = start != images
    assert bool((changed.sum(1) == 2).all())
    assert float((changed.double().mean(0) - 1 / 3).abs().max()) < 0.03
    assert agrees(start[changed], "uniform")


def test_a_box_is_filled():
    start = Box(0.2, 0.7).random_start(torch.full((N, 2), 0.5), KEYS)
    assert agrees((start[:, 0] - 0.2) / 0.5, "uniform")


def test_a_gaussian_start_has_deviation_eps_and_is_not_projected():
    start = Linf(0.1).random_start(torch.zeros(N, 3, dtype=torch.float64), KEYS, gaussian=True)
    assert agrees(start[:, 1] / 0.1, "norm")
    assert float(start.abs().max()) > 0.3


BALLS = [
    Linf(0.3), L2(0.9), L1(2.0), L0(3), L0(2, per="pixel"), Box(0.1, 0.9),
    Patches(2, size=2), Patches(1, size=2, inside=0.2),
    Rescaled.pixels(Linf(0.5), (0.4,) * 3, (0.2,) * 3),
    Rescaled.pixels(L2(0.5), (0.4,) * 3, (0.2,) * 3),
]  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("ball", BALLS, ids=str)
def test_starts_are_in_the_ball_and_the_range(ball, dtype):
    generator = torch.Generator().manual_seed(0)
    images = (1.5 * torch.rand(200, 3, 4, 4, generator=generator) - 0.25).clamp(0, 1).to(dtype)
    z = ball.random_start(images, Keys(0, torch.arange(200)))
    start = ball.render(images, ball.project(images, z))
    assert bool(ball.contains(images, start).all())
    assert bool((start != images).flatten(1).any(1).all())


@pytest.mark.parametrize("ball", BALLS, ids=str)
@pytest.mark.parametrize("gaussian", [False, True])
def test_starts_are_a_function_of_seed_id_and_restart(ball, gaussian):
    images = torch.full((5, 3, 4, 4), 0.5)

    def start(seed=0, ids=(4, 9, 2, 7, 1), rows=slice(None), restart=0):
        keys = Keys(seed, torch.tensor(ids)[rows])
        return ball.random_start(images[rows], keys, restart=restart, gaussian=gaussian)

    whole = start()
    assert torch.equal(start(), whole)
    assert torch.equal(start(rows=slice(3, 4)), whole[3:4])
    order = torch.tensor([2, 0, 4, 1, 3])
    assert torch.equal(start(rows=order), whole[order])
    for other in (start(seed=1), start(restart=1), start(ids=(5, 10, 3, 8, 0))):
        assert bool((other != whole).flatten(1).any(1).all())


MASKED = [
    Linf(0.3), L2(0.3), L1(0.3), L0(2), Patches(1, size=2), Box(0.2, 0.8),
    Rescaled.pixels(L2(0.5), (0.4,) * 3, (0.2,) * 3),
]  # fmt: skip


@pytest.mark.parametrize("threat", MASKED, ids=str)
def test_under_a_mask_the_ball_is_that_of_the_free_features(threat):
    images = torch.full((500, 3, 4, 8), 0.5)
    free = torch.zeros_like(images, dtype=torch.bool)
    free[..., :2, 4:6] = True
    keys = Keys(1, torch.arange(500))
    moved = threat.render(images, threat.random_start(images, keys, free=free))
    assert torch.equal(moved[~free], images[~free])
    assert bool(threat.contains(images, moved).all())
    far = threat.distance(images, moved)
    assert float(far.max()) > 0.95 * float(threat.radius(images)[0])
    gaussian = threat.random_start(images, keys, gaussian=True, free=free)
    assert torch.equal(gaussian[~free], threat.parametrise(images)[~free])


@pytest.mark.parametrize("d", [1, 3])
def test_radii_under_a_mask_follow_the_volume_of_the_free_features(d):
    images = torch.zeros(N, 40, dtype=torch.float64)
    free = torch.zeros_like(images, dtype=torch.bool)
    free[:, 5 : 5 + d] = True
    for ball, p in ((L2(0.5, -INF, INF), 2), (L1(0.5, -INF, INF), 1)):
        delta = ball.random_start(images, KEYS, free=free)
        assert agrees((delta.norm(p=p, dim=1) / 0.5) ** d, "uniform")
