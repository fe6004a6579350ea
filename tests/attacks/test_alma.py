"""ALMA against closed forms, a grid and the published loop."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from linear import best_change, case, least_distance
from networks import Affine, conv_case, mlp

from saddlepoint.attacks import BinaryLogit
from saddlepoint.attacks.core.inputs import Inputs
from saddlepoint.attacks.minimum_norm.alma import ALMA, penalty, penalty_slope
from saddlepoint.errors import InputError
from saddlepoint.threat import L1, L2

BALLS = [L1, L2]
NAMES = {L1: "l1", L2: "l2"}


def linear(norm, classes=2):
    """A network right on images whose nearest fooling points lie partly on the box; the optima.

    A third class, which never wins, gives ALMA its ratio.
    """
    w, x, _, _ = case(12, 1.0, norm, count=10, near_bounds=True)
    least = (x + best_change(w, x, 100.0, norm)) @ w
    bias = -float(least.max()) - 0.3 * float((x @ w - least).min())
    x = x[x @ w + bias > 0]
    optima = least_distance(w, x, bias, norm)
    rows = torch.cat([w[None], torch.zeros(classes - 1, 12, dtype=w.dtype)])
    offsets = torch.tensor([bias, 0.0, -30.0][:classes], dtype=w.dtype)
    return Affine(rows, offsets), x, optima


@pytest.mark.parametrize("ball", BALLS)
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("steps", [200, pytest.param(600, marks=pytest.mark.slow)])
def test_the_optimum_of_a_linear_network(ball, classes, steps):
    net, x, optima = linear(NAMES[ball], classes)
    labels = torch.zeros(len(x), dtype=torch.int64)
    result = ALMA(ball(), steps=steps)(net, x, labels)
    share = result.distance / optima
    assert len(x) > 4
    assert bool(result.success.all())
    assert float(share.min()) >= 0.999
    assert float(share.median()) <= 1.02
    assert float(share.max()) <= (1.1 if (ball, classes) == (L1, 3) else 1.02)


@pytest.mark.parametrize("ball", BALLS)
def test_curved_boundaries_in_two_dimensions(ball):
    net = mlp(2, seed=3)
    x = torch.rand(12, 2, dtype=torch.float64, generator=torch.manual_seed(0))
    labels = net(x).argmax(1)
    distance = ALMA(ball(), steps=200)(net, x, labels).distance
    axis = torch.linspace(0, 1, 200, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    other = net(grid).argmax(1)[None] != labels[:, None]
    away = torch.linalg.vector_norm(grid[None] - x[:, None], ord=ball.p, dim=2)
    least = torch.where(other, away, math.inf).amin(1)
    assert float((distance <= 1.02 * least).double().mean()) >= 0.75
    assert bool((distance >= least - 2 / 199).all())


def reference(net, x, y, steps, p, past):
    """The loop of the paper on one image."""
    delta, v, velocity = torch.zeros_like(x), torch.ones_like(x), torch.zeros_like(x)
    mu = rho = 1.0
    found, rate, first, before = False, 0.0, steps, 0.0
    for k in range(steps):
        z = (x + delta).requires_grad_()
        logits = net(z)[0]
        top = logits.sort(descending=True).values
        margin = logits[y] - torch.cat([logits[:y], logits[y + 1 :]]).max()
        ratio = margin / (top[0] - top[2] + 1e-8)
        c = float(ratio.detach())
        found_before, found = found, found or c < 0
        if found and not found_before:
            first = k
        if k == 0:
            before = c
        elif (k + 1) % 10 == 0:
            rho = rho if found or c < 0.95 * before else 1.2 * rho
            before = c
        if k:
            slope = mu + 2 * mu * rho * c + rho**2 * c**2 / 2 if c >= 0 else mu / (1 - rho * c) ** 2
            mu = min(max(past * mu + (1 - past) * slope, 1e-6), 1e12)
        if c >= 0:
            loss = mu * ratio + mu * rho * ratio**2 + rho**2 * ratio**3 / 6
        else:
            loss = mu * ratio / (1 - rho * ratio)
        if k:
            loss = loss + torch.linalg.vector_norm(z - x, ord=p)
        g = torch.autograd.grad(loss, z)[0]
        v = past * v + (1 - past) * g**2
        direction = g / (v.sqrt() + 1e-8)
        if k == 0:
            low, high = 0.0, 1e6
            for _ in range(100):
                rate = (low + high) / 2
                moved = (x - rate * direction).clamp(0, 1) - x
                far = torch.linalg.vector_norm(moved, ord=p) > {1: 0.5, 2: 0.1}[p]
                low, high = (low, rate) if far else (rate, high)
        velocity = past * velocity + direction
        fall = 0.01 ** (max(k - first, 0) / max(steps - first, 1))
        delta = (x + delta - rate * fall * velocity).clamp(0, 1) - x
    return x + delta


@pytest.mark.parametrize("ball", BALLS)
@pytest.mark.parametrize("steps", [1, 12, 30])
def test_the_iterates_are_the_papers(ball, steps):
    net, x, y = conv_case(3, torch.float64, wrong=0)
    last = []

    class Tracker:
        distance, images = torch.full((3,), math.inf), x

        def record(self, batch, z, logits):
            pass

        def offer(self, batch, z):
            last.append(z)

    attack = ALMA(ball(), steps=steps, smoothing=0.9)
    batch = attack._batch(net, Inputs(x, y).trusted(attack.threat))
    with batch.guard:
        attack.perturb(batch, Tracker())
    for i in range(3):
        expected = reference(net, x[i : i + 1], int(y[i]), steps, int(ball.p), 0.9)
        assert torch.allclose(last[0][i : i + 1], expected, rtol=0, atol=1e-4)
        assert not torch.equal(last[0][i : i + 1], x[i : i + 1])


positive = st.floats(0.01, 50)


@given(y=st.floats(-20, 20), rho=positive, mu=positive)
def test_the_slope_is_the_penalties(y, rho, mu):
    at, rho, mu = (torch.tensor([v], dtype=torch.float64) for v in (y, rho, mu))
    at.requires_grad_()
    slope = torch.autograd.grad(penalty(at, rho, mu).sum(), at)[0]
    assert torch.allclose(penalty_slope(at.detach(), rho, mu), slope, rtol=1e-10)
    assert float(slope) > 0


@pytest.mark.parametrize("ball", BALLS)
@pytest.mark.parametrize("options", [{"first_length": 0.05}, {"smoothing": 0.7}])
def test_options_matter(ball, options):
    net, x, y = conv_case(4, wrong=0)
    plain, other = (ALMA(ball(), steps=30, **o)(net, x, y) for o in ({}, options))
    assert bool(other.success.all())
    assert not torch.equal(plain.adversarials, other.adversarials)


@pytest.mark.parametrize("ball", BALLS)
def test_a_single_logit(ball):
    last = torch.nn.Linear(4, 1)
    torch.nn.init.ones_(last.weight)
    torch.nn.init.constant_(last.bias, -2.0)
    x, ones = torch.full((2, 4), 0.7), torch.tensor([1, 1])
    result = ALMA(ball(), steps=200, criterion=BinaryLogit())(last, x, ones)
    least = {L1: 0.8, L2: 0.4}[ball]
    assert torch.allclose(result.distance, torch.tensor(least, dtype=torch.float64), rtol=0.02)


@pytest.mark.parametrize("ball", BALLS)
@pytest.mark.parametrize("scale", [0.0, 1e-30])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.filterwarnings("ignore:the gradient was exactly 0")
def test_vanishing_gradients_make_no_nan(ball, scale, classes):
    rows = scale * torch.eye(4)[:classes]
    net = Affine(rows, torch.tensor([1e-3, 0.0, -1e-3][:classes]))
    result = ALMA(ball(), steps=5)(net, torch.rand(2, 4), torch.zeros(2, dtype=torch.int64))
    assert not bool(result.success.any())
    assert not bool(result.rejected.any())


@pytest.mark.parametrize(
    "options",
    [{"steps": 0}, {"first_length": 0.0}, {"smoothing": 1.0}, {"bisections": -1}],
)
def test_impossible_options(options):
    with pytest.raises(InputError):
        ALMA(L2(), **options)
