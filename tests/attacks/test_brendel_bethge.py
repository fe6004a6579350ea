"""Brendel-Bethge against its loop in a few lines, and where it starts."""

from __future__ import annotations

import math

import pytest
import torch
from networks import Affine, conv_case

from saddlepoint.attacks import BrendelBethge
from saddlepoint.attacks.core.inputs import Inputs
from saddlepoint.attacks.geometry.trust_regions import trust_region_step
from saddlepoint.threat import L0, L1, L2, Linf

STEPS = 9


def reference(net, x, y, start, ball, overshoot=1.1, momentum=0.8, radius=0.01, halvings=2):
    """The iterates of the published loop, with the best step of each trust region."""
    z, mean, iterates = start, None, []
    low, high = torch.zeros_like(x), torch.ones_like(x)
    for k in range(STEPS):
        z = z.detach().requires_grad_()
        iterates.append(z.detach())
        logits = net(z)
        own = logits.gather(1, y[:, None])[:, 0]
        margin = own - logits.scatter(1, y[:, None], -math.inf).amax(1)
        (b,) = torch.autograd.grad(margin.sum(), z)
        mean = b if mean is None else momentum * mean + (1 - momentum) * b
        c = -torch.where(margin < 0, 2 - overshoot, overshoot) * margin.detach()
        r = radius * x[0].numel() / 2 ** (k * (halvings + 1) // STEPS)
        r = torch.full_like(c, max(r, math.sqrt(x[0].numel())) if ball is L0 else r)
        p = ball.p
        z = trust_region_step(x, z, mean, c, low, high, r, p, tolerance=0.1, looks=12)[0].clamp(
            0, 1
        )
    return [*iterates, z]


class Seen:
    """A tracker that keeps every iterate."""

    def __init__(self):
        self.iterates = []

    def record(self, batch, z, logits):
        self.iterates.append(z)


@pytest.mark.parametrize("ball", [Linf, L2, L1, L0])
def test_it_is_the_papers_loop(ball):
    net, x, y = conv_case(4, torch.float64, wrong=0)
    start = torch.rand(x.shape, generator=torch.manual_seed(1), dtype=torch.float64)
    attack = BrendelBethge(ball(), steps=STEPS, radius=0.01, halvings=2)
    batch, seen = attack._batch(net, Inputs(x, y).trusted(attack.threat)), Seen()
    with batch.guard:
        last = attack._follow(batch, seen, start)
    for a, b in zip([*seen.iterates, last], reference(net, x, y, start, ball), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-9)


def test_a_given_start_is_followed_and_noise_is_drawn_where_there_is_none():
    net, y = Affine(torch.tensor([-1.0, -0.5]), 0.9), torch.zeros(1, dtype=torch.int64)
    x = torch.full((1, 2), 0.3)
    drawn = BrendelBethge(L2(), steps=5, starts=3)(net, x, y)
    given = BrendelBethge(L2(), steps=5, starts=3)(net, x, y, starts=torch.ones(1, 2))
    # each draw costs a pass, and each that fools a search of the segment
    assert int(given.forwards) + 3 * 6 <= int(drawn.forwards)
    assert bool(drawn.success & given.success)


def test_where_no_random_image_fools_nothing_is_found():
    net, x = Affine(torch.tensor([0.0, 0.0]), 2.0), torch.full((1, 2), 0.3)
    attack = BrendelBethge(L2(), steps=2, draws=7)
    with pytest.warns(UserWarning, match="gradient was exactly 0"):
        found = attack(net, x, torch.zeros(1, dtype=torch.int64))
    assert not bool(found.success)
    assert int(found.forwards) >= 7 + 2


@pytest.mark.parametrize("ball", [Linf, L2, L1, L0])
def test_at_the_end_it_is_at_the_optimum_of_an_affine_network_however_few_the_steps(ball):
    w, x = torch.tensor([3.0, -1.0, 0.5, 0.2]), torch.tensor([[0.6, 0.3, 0.5, 0.4]])
    net, y = Affine(w, -0.9), torch.zeros(1, dtype=torch.int64)
    margin = float(x[0] @ w) - 0.9
    least = {Linf: margin / 4.7, L2: margin / float(w.norm()), L1: margin / 3.0, L0: 1.0}[ball]
    found = BrendelBethge(ball(), steps=1, radius=1e-4, least=0.0)(net, x, y)
    assert least * (1 - 1e-5) <= float(found.distance) <= 1.001 * least
