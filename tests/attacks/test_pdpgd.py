"""PDGD, PDPGD and the proximal maps, against closed forms, grids and the published loop."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from linear import best_change, case, least_distance
from networks import Affine, conv_case, mlp

from saddlepoint.attacks import BinaryLogit
from saddlepoint.attacks.core.inputs import Inputs
from saddlepoint.attacks.geometry.proximal import clip_largest, shrink, soft_threshold, two_thirds
from saddlepoint.attacks.minimum_norm.pdpgd import PDGD, PDPGD
from saddlepoint.errors import InputError
from saddlepoint.threat import L0, L1, L2, Linf, Rescaled

ATTACKS = [(PDGD, L2), (PDPGD, L1), (PDPGD, L2), (PDPGD, Linf), (PDPGD, L0)]
MEASURED = ATTACKS[:4]
NAMES = {L1: "l1", L2: "l2", Linf: "linf"}


def linear(norm, count=10):
    """A network right on all images, whose nearest fooling points lie partly on the box."""
    w, x, clean, _ = case(12, 1.0, norm, count=count, near_bounds=True)
    w = w * torch.where(clean.mean() < 0, -1.0, 1.0)
    least = (x + best_change(w, x, 100.0, norm)) @ w
    bias = -float(least.max()) - 0.3 * float((x @ w - least).min())
    keep = x @ w + bias > 0
    return w, x[keep], bias


@pytest.mark.parametrize(("attack", "ball"), MEASURED)
@pytest.mark.parametrize("steps", [300, pytest.param(600, marks=pytest.mark.slow)])
def test_the_optimum_of_a_linear_network(attack, ball, steps):
    w, x, bias = linear(NAMES[ball])
    labels = torch.zeros(len(x), dtype=torch.int64)
    result = attack(ball(), steps=steps)(Affine(w, bias), x, labels)
    share = result.distance / least_distance(w, x, bias, NAMES[ball])
    assert len(x) > 4
    assert bool(result.success.all())
    assert float(share.min()) >= 0.999
    # L1 is slow: measured 1.034 and 1.102 after 300 steps, below 1.03 and 1.1 after 600.
    late = {300: (1.04, 1.12), 600: (1.03, 1.1)}[steps] if ball is L1 else (1.02, 1.02)
    assert float(share.median()) <= late[0]
    assert float(share.max()) <= late[1]


@pytest.mark.parametrize(("attack", "ball"), ATTACKS)
def test_with_two_classes_the_target_is_the_other_one(attack, ball):
    w, x, bias = linear("l2")
    labels, net = torch.zeros(len(x), dtype=torch.int64), Affine(w, bias)
    there = attack(ball(), steps=60)(net, x, labels, labels + 1)
    away = attack(ball(), steps=60)(net, x, labels)
    assert bool(there.success.all())
    assert torch.equal(there.adversarials, away.adversarials)


@pytest.mark.parametrize(("attack", "ball"), MEASURED)
def test_curved_boundaries_in_two_dimensions(attack, ball):
    net, x = mlp(2, seed=3), torch.rand(12, 2, dtype=torch.float64, generator=torch.manual_seed(0))
    labels = net(x).argmax(1)
    result = attack(ball(), steps=200)(net, x, labels)
    axis = torch.linspace(0, 1, 200, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    other = net(grid).argmax(1)[None] != labels[:, None]
    away = torch.linalg.vector_norm(grid[None] - x[:, None], ord=ball.p, dim=2)
    least = torch.where(other, away, math.inf).amin(1)
    near = result.distance <= 1.02 * least
    assert float(near.double().mean()) >= 0.75
    assert bool((result.distance >= least - 2 / 199).all())


def reference(net, x, y, steps, prox, ratio=0.01):
    """The published loop on one image, in lines of the paper."""
    r, m1, m2 = torch.zeros_like(x), torch.zeros_like(x), torch.zeros_like(x)
    level = -math.log(ratio)
    mean = torch.tensor([1 / (1 + math.exp(level)), 1 / (1 + math.exp(-level))])
    for k in range(steps):
        z = (x + r).requires_grad_()
        logits = net(z)[0]
        margin = logits[y] - torch.cat([logits[:y], logits[y + 1 :]]).max()
        loss = torch.nn.functional.softplus(margin)
        if prox is None:
            size = (z - x).norm() if k else 0.0
            loss = mean[0] * size + mean[1] * loss
        g = torch.autograd.grad(loss, z)[0]
        m1, m2 = 0.9 * m1 + 0.1 * g, 0.999 * m2 + 0.001 * g**2
        denominator = (m2 / (1 - 0.999 ** (k + 1))).sqrt() + 1e-8
        rate = 0.1 * 0.01 ** (k / steps)
        r = (x + r - rate * m1 / (1 - 0.9 ** (k + 1)) / denominator).clamp(0, 1) - x
        if prox is not None:
            change = prox(r, (rate * mean[0] / mean[1])[None], denominator)
            r = (x + change).clamp(0, 1) - x
        level += float(margin.detach().sign()) * 0.1 * (1 - 0.9 * k / (steps - 1))
        mean = 0.9 * mean + 0.1 * torch.tensor([0.0, level], dtype=torch.float64).softmax(0)
    return x + r


def floored(delta, weight, metric):
    """The default: no entry of the metric below a fifth of the largest."""
    return soft_threshold(delta, weight, metric.maximum(0.2 * metric.amax()))


def five(delta, weight, metric):
    """The published one: five inner iterations, which end where they hardly move."""
    h, one, z = metric / metric.amax(), torch.ones_like(metric), delta
    for _ in range(5):
        new = soft_threshold(z - h * (z - delta), weight / metric.amax(), one)
        settled, z = float((new - z).norm()) <= 0.01 * float(new.norm()), new
        if settled:
            break
    return z


@pytest.mark.parametrize("prox", [None, floored, five])
def test_the_iterates_are_the_papers(prox):
    net, x, y = conv_case(3, torch.float64, wrong=0)
    seen = []

    class Spy(PDGD if prox is None else PDPGD):
        norms = ("L1", "L2")

    class Tracker:
        distance = torch.full((3,), math.inf)
        images = x

        def record(self, batch, z, logits):
            seen.append(z)

        def offer(self, batch, z):
            seen.append(z)

    inner = {"proximal_steps": 5} if prox is five else {}
    attack = Spy(L2() if prox is None else L1(), steps=6, **inner)
    batch = attack._batch(net, Inputs(x, y).trusted(attack.threat))
    with batch.guard:
        attack.perturb(batch, Tracker())
    for i in range(3):
        expected = reference(net, x[i : i + 1], int(y[i]), 6, prox)
        assert torch.allclose(seen[-1][i : i + 1], expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize(("attack", "ball"), ATTACKS)
def test_in_a_rescaled_space_all_are_fooled(attack, ball):
    net, x, y = conv_case(6, wrong=0)
    space = Rescaled.pixels(ball(), (0.5,) * 3, (0.25,) * 3)
    assert bool(attack(space, steps=60)(net, x, y).success.all())


@pytest.mark.parametrize(("attack", "ball"), ATTACKS)
@pytest.mark.parametrize("scale", [0.0, 1e-30])
@pytest.mark.filterwarnings("ignore:the gradient was exactly 0")
def test_vanishing_gradients_make_no_nan(attack, ball, scale):
    net = Affine(scale * torch.ones(4), 1e-3)
    result = attack(ball(), steps=5)(net, torch.rand(2, 4), torch.zeros(2, dtype=torch.int64))
    assert not bool(result.success.any())
    assert not bool(result.rejected.any())


@pytest.mark.parametrize(("attack", "ball"), ATTACKS)
def test_a_single_logit(attack, ball):
    net = torch.nn.Linear(4, 1, bias=False)
    torch.nn.init.ones_(net.weight)
    net = torch.nn.Sequential(net, torch.nn.Flatten())
    net.append(_Minus())
    x = torch.full((2, 4), 0.7)
    result = attack(ball(), steps=100, criterion=BinaryLogit())(net, x, torch.tensor([1, 1]))
    assert bool(result.success.all())


class _Minus(torch.nn.Module):
    def forward(self, z):
        return z - 2


def test_the_bisection_only_helps():
    net, x, y = conv_case(8, wrong=0)
    rough, fine = (PDPGD(L1(), steps=20, bisections=n)(net, x, y).distance for n in (0, 10))
    assert bool((fine <= rough).all())
    assert bool((fine < 0.99 * rough).any())


@pytest.mark.parametrize(
    "options",
    [{"steps": 0}, {"step_size": 0.0}, {"ratio": 0.0}, {"dual_step": -1.0}, {"bisections": -1}],
)
@pytest.mark.parametrize(("attack", "ball"), ATTACKS[:2])
def test_impossible_options(attack, ball, options):
    with pytest.raises(InputError):
        attack(ball(), **options)


PENALTY = {
    soft_threshold: lambda z: z.abs().sum(-1),
    shrink: lambda z: z.norm(dim=-1),
    clip_largest: lambda z: z.abs().amax(-1),
    two_thirds: lambda z: z.abs().pow(2 / 3).sum(-1),
}
values = st.floats(-2, 2, allow_nan=False)


@pytest.mark.parametrize("prox", PENALTY)
@settings(max_examples=40, deadline=None)
@given(a=values, b=values, weight=st.floats(1e-3, 1.5), h=st.floats(0.1, 3.0))
def test_no_point_is_better_than_the_proximal_one(prox, a, b, weight, h):
    delta = torch.tensor([[a, b]], dtype=torch.float64)
    metric = torch.tensor([[1.0, h]], dtype=torch.float64)
    point = prox(delta, torch.tensor([weight], dtype=torch.float64), metric)
    axis = torch.linspace(-2, 2, 81, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)

    def value(z):
        return weight * PENALTY[prox](z) + 0.5 * (metric * (z - delta).square()).sum(-1)

    others = torch.cat([grid, point + 0.01 * grid])
    assert float(value(point)) <= float(value(others).min()) + 1e-9
