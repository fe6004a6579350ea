"""On images of two pixels a dense grid knows what is possible: PGD must find it, and no more."""

from __future__ import annotations

import functools

import pytest
import torch
from networks import mlp
from sampled import mostly_slow

from saddlepoint.attacks import FGSM, PGD, UniformNoise
from saddlepoint.threat import L0, L1, L2, Box, Linf

BALLS = {"linf": Linf(0.12), "l2": L2(0.15), "l1": L1(0.2)}


class Centred(torch.nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x - 0.5)


def problem(seed: int):
    net = Centred(mlp(2, seed=seed, gain=12.0))
    for p in net.parameters():
        if p.ndim == 1:
            p.data /= 4
    images = torch.rand(40, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    with torch.no_grad():
        return net, images, net(images).argmax(1)


@functools.cache
def grid(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A dense grid of the plane, and the logits of the problem's network there."""
    axis = torch.linspace(0, 1, 301, dtype=torch.float64)
    points = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        return points, problem(seed)[0](points)


def grid_margins(seed, ball, image, label, target=None) -> torch.Tensor:
    """The margins of the criterion at the points of the grid that the threat model contains."""
    points, logits = grid(seed)
    logits = logits[ball.contains(image.expand_as(points), points)]
    goal = label if target is None else target
    own = logits[:, goal]
    others = torch.cat([logits[:, :goal], logits[:, goal + 1 :]], 1).amax(1)
    return own - others if target is None else others - own


@pytest.mark.parametrize("name", [*BALLS, "box"])
@pytest.mark.parametrize("seed", mostly_slow([0, 1, 2], quick=[0]))
@pytest.mark.parametrize("targeted", [False, True])
def test_pgd_finds_success_wherever_the_grid_does(name, seed, targeted):
    net, images, labels = problem(seed)
    box = Box((images - 0.1).clamp_min(0), (images + 0.05).clamp_max(1))
    ball = box if name == "box" else BALLS[name]
    targets = (labels + 1) % 3 if targeted else None
    result = PGD(ball, steps=40, restarts=8)(net, images, labels, targets)
    possible = 0
    for i in range(len(images)):
        target = int(targets[i]) if targeted else None
        own = ball.at(torch.tensor([i])) if name == "box" else ball
        least = float(grid_margins(seed, own, images[i], int(labels[i]), target).min())
        if least < -1e-3:
            possible += 1
            assert bool(result.success[i]), f"image {i}: the grid reaches {least:.4f}"
        elif least > 1:  # so much cannot hide between the points of the grid
            assert not bool(result.success[i])
    assert 3 <= possible <= 35, "the problem tells nothing"


def test_the_problem_tells_weak_attacks_from_strong_ones():
    missed = 0
    for seed in range(3):
        net, images, labels = problem(seed)
        weak = FGSM(BALLS["linf"])(net, images, labels).success
        strong = PGD(BALLS["linf"], steps=40, restarts=8)(net, images, labels).success
        assert not bool((weak & ~strong).any())
        missed += int((strong & ~weak).sum())
    assert missed >= 2


def test_random_search_in_l0_comes_close_to_the_grid():
    net, images, labels = problem(0)
    result = UniformNoise(L0(1), draws=300)(net, images, labels)
    axis = torch.linspace(0, 1, 301, dtype=torch.float64)
    for i, image in enumerate(images):
        trials = image.repeat(602, 1)
        trials[:301, 0], trials[301:, 1] = axis, axis
        with torch.no_grad():
            fooled = bool((net(trials).argmax(1) != labels[i]).double().mean() > 0.05)
        assert not fooled or bool(result.success[i])
    assert bool((result.distance <= 1).all())
