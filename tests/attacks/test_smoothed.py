"""The gradient of Smoothed is the mean around the iterate; the logits are those at the iterate."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from networks import conv_case
from torch import nn

from saddlepoint.attacks import DDN, PGD, AtBudget, FixedBudget, Smoothed, wrapped
from saddlepoint.errors import InputError
from saddlepoint.threat import L1, L2, Linf

SEEN: list[tuple[torch.Tensor, ...]] = []


@dataclass(frozen=True, kw_only=True)
class Look(FixedBudget):
    """Remembers what it is told at the image, twice."""

    def perturb(self, batch, tracker):
        SEEN.clear()
        for _ in range(2):
            logits, gradient = batch.gradient(batch.clean, lambda z: z[:, 0])
            _, rows = batch.jacobian(batch.clean, lambda z: torch.eye(2).to(z).expand(len(z), 2, 2))
            SEEN.append((logits, gradient, rows))
        tracker.offer(batch, batch.project(batch.clean + 0.01))


class Cubes(nn.Module):
    """A logit d³ of each feature, d its distance from a half, where its slope is 0 and around it 3d²."""

    def forward(self, x):
        return (x - 0.5) ** 3 - torch.tensor([0.0, 1.0]).to(x)


LABELS = torch.zeros(2, dtype=torch.int64)


@pytest.mark.parametrize("ball", [Linf, L1])
def test_the_gradient_is_the_mean_over_points_at_the_radius(ball):
    images = torch.full((2, 2), 0.5, dtype=torch.float64)
    attack = Smoothed(Look(ball(0.1)), draws=40, radius=2.0)
    attack(Cubes(), images, LABELS, eps=torch.tensor([0.05, 0.1]))
    for logits, gradient, rows in SEEN:
        assert torch.equal(logits, Cubes()(images))
        square = gradient[:, 0] / 3  # the mean of d² in the first feature
        # Directions are alike in all angles, at a norm of twice the budget.
        angle = torch.linspace(0, 2 * torch.pi, 1001)[:-1]
        ways = torch.stack([angle.cos(), angle.sin()], 1)
        ways = ways / torch.linalg.vector_norm(ways, ord=ball().p, dim=1, keepdim=True)
        expected = (ways[:, 0] ** 2).mean() * (2 * torch.tensor([0.05, 0.1])) ** 2
        assert square.tolist() == pytest.approx(expected.tolist(), rel=0.45)
        assert not bool(gradient[:, 1].any())
        assert torch.allclose(rows[:, 0], gradient, rtol=0.5)
    assert not torch.equal(SEEN[0][1], SEEN[1][1]), "another step has other draws"


def test_points_are_in_the_range_and_keep_the_mask():
    class Strict(nn.Module):
        def forward(self, x):
            assert bool(((x >= 0) & (x <= 1)).all())
            assert bool((x[:, 1] == 0.9).all())
            return torch.stack([x[:, 0], 0 * x[:, 0] - 1], 1)

    images = torch.tensor([[0.02, 0.9], [0.99, 0.9]])
    result = Smoothed(PGD(Linf(0.3), steps=3), radius=2.0)(
        Strict(), images, LABELS[:2], mask=torch.tensor([True, False])
    )
    assert not bool(result.rejected.any())


class Waves(nn.Module):
    """Rises to the right on the whole, in waves ten times as steep."""

    def forward(self, x):
        margin = (x - 0.45 + 0.02 * (500 * x).sin()).flatten(1).mean(1)
        return torch.stack([margin, 0 * margin], 1)


def test_it_fools_where_the_gradient_of_a_point_misleads():
    images = 0.5 + 0.05 * torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    labels, attack = torch.zeros(8, dtype=torch.int64), PGD(Linf(0.12), steps=10, start="clean")
    net = Waves()
    assert bool((net(images).argmax(1) == 0).all())
    assert float(attack(net, images, labels).success_rate) == 0
    assert float(Smoothed(attack, draws=20)(net, images, labels).success_rate) == 1
    assert wrapped(attack, ["smoothed"]) == Smoothed(attack)


def test_passes_are_counted_and_a_minimum_norm_attack_needs_a_budget():
    net, images, labels = conv_case(8)
    attack = Smoothed(PGD(Linf(1e-6), steps=5), draws=3)
    result = attack(net, images, labels)
    left = ~result.success
    assert set(result.backwards[left].tolist()) == {5 * 3}
    assert set(result.forwards[left].tolist()) == {1 + 5 * (1 + 3) + 1 + 1}
    assert attack.expected_steps == 5 * 4
    with pytest.raises(InputError, match="DDN has no budget to measure the radius in"):
        Smoothed(DDN(L2()))
    within = Smoothed(AtBudget(DDN(L2(), steps=10), L2(0.5)), draws=2)
    assert within(net, images, labels).success_rate > 0.5
