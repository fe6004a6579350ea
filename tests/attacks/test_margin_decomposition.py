"""MD: its iterates are those of a plain loop, and it leaves where the margin's gradient leads back."""

from __future__ import annotations

import math

import pytest
import torch
from networks import conv_case
from torch import nn

from saddlepoint.attacks import PGD, MarginDecomposition
from saddlepoint.errors import InputError
from saddlepoint.threat import L2, Linf

STEPS, ALONE, EPS = 10, 4, 0.03


class Looks(nn.Module):
    """Remembers where a gradient was asked for."""

    def __init__(self, net):
        super().__init__()
        self.net, self.seen = net, []

    def forward(self, x):
        if x.requires_grad:
            self.seen.append(x.detach().clone())
        return self.net(x)


def loss(logits, label, restart, step, targeted):
    """What a step ascends, image by image, as the paper has it; towards a target with the roles of
    the target and of the largest other logit exchanged.
    """
    own, others = logits[label], torch.cat([logits[:label], logits[label + 1 :]]).max()
    falling, rising = (others, own) if targeted else (own, others)
    if step == 0:
        return falling
    if step < ALONE:
        return rising if restart % 2 else -falling
    return rising - falling


@pytest.mark.parametrize("targeted", [False, True])
def test_it_is_the_papers_loop(targeted):
    net, images, labels = conv_case(6, torch.float64, wrong=0)
    targets = (labels + 1) % 5 if targeted else None
    goals = targets if targeted else labels
    model = Looks(net)
    attack = MarginDecomposition(Linf(EPS), steps=STEPS, restarts=3, stop="never")
    assert attack.alone == ALONE
    attack(model, images, labels, targets)
    assert len(model.seen) == 3 * STEPS
    for restart in range(3):
        x, *rest = model.seen[restart * STEPS : (restart + 1) * STEPS]
        for step, expected in enumerate(rest):
            z = x.clone().requires_grad_()
            each = zip(net(z), goals.tolist(), strict=True)
            total = sum(loss(row, label, restart, step, targeted) for row, label in each)
            (gradient,) = torch.autograd.grad(total, z)
            part = step / ALONE if step < ALONE else (step - ALONE) / (STEPS - ALONE)
            alpha = 2 * EPS * (1 + math.cos(math.pi * part)) / 2
            x = x + alpha * gradient.sign()
            x = torch.minimum(torch.maximum(x, images - EPS), images + EPS).clamp(0, 1)
            assert torch.allclose(x, expected, atol=1e-12), (restart, step)
            x = expected


class Imbalanced(nn.Module):
    """The label's logit draws back to the image three times as steeply as the other one leads away;
    it falls in the outer tenth of the ball of radius 0.1 around 0.5.
    """

    def forward(self, x):
        u = (x - 0.5) / 0.1
        well = torch.where(u.abs() < 0.9, u.abs(), 0.9 - 19 * (u.abs() - 0.9))
        return torch.stack([10 + 3 * well.sum(1), u.sum(1)], 1)


def test_of_imbalanced_gradients_each_is_followed_by_itself():
    images, labels = torch.full((32, 4), 0.5), torch.zeros(32, dtype=torch.int64)
    pgd = PGD(Linf(0.1), steps=50, restarts=2, loss="margin", corners=False)
    found = MarginDecomposition(Linf(0.1))
    assert int(pgd(Imbalanced(), images, labels).success.sum()) <= 2
    assert bool(found(Imbalanced(), images, labels).success.all())
    in_l2 = MarginDecomposition(L2(0.2))(Imbalanced(), images, labels)  # to the same corner
    assert in_l2.success_rate > 0.5


def test_the_share_may_be_of_all_steps_or_of_none():
    net, images, labels = conv_case(12)
    for steps, share, alone in ((1, 0.4, 0), (5, 1.0, 5)):
        attack = MarginDecomposition(Linf(1e-6), steps=steps, share=share)
        assert attack.alone == alone
        assert int(attack(net, images, labels).backwards.max()) == 2 * steps
    with pytest.raises(InputError, match="set restarts to 1"):
        MarginDecomposition(Linf(0.1), keep="last")
