"""`published` is the paper's own attack: other options than ours, each of which is one."""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch

from saddlepoint.attacks import ATTACKS, PGD, MinimumNorm, Restarted
from saddlepoint.threat import L2, NORMS, Linf

CLASSES = sorted({info.attack for info in ATTACKS.values()}, key=lambda each: each.__name__)
DEPARTING = [each for each in CLASSES if each.paper_options]
SHORT = {"steps": 3, "searches": 2, "rounds": 3, "classes": 3}


def test_most_attacks_depart_somewhere():
    assert len(DEPARTING) >= 15


@pytest.mark.parametrize("attack", DEPARTING, ids=lambda each: each.__name__)
def test_the_papers_options_are_options_and_not_the_defaults(attack):
    defaults = {field.name: field.default for field in fields(attack)}
    for name, value in attack.paper_options.items():
        assert defaults[name] != value, name
    threat = next(ball for ball in NORMS.values() if ball.norm_name in attack.norms)
    budget = () if issubclass(attack, MinimumNorm) else (0.2,)
    published = attack.published(threat(*budget))
    assert all(getattr(published, name) == value for name, value in attack.paper_options.items())


@pytest.mark.parametrize("attack", DEPARTING, ids=lambda each: each.__name__)
def test_the_papers_attack_runs(attack):
    threat = next(ball for ball in NORMS.values() if ball.norm_name in attack.norms)
    budget = () if issubclass(attack, MinimumNorm) else (0.2,)
    short = {name: value for name, value in SHORT.items() if name in vars(attack)}
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(6, 3))
    images = torch.rand(3, 6)
    labels = net(images).argmax(1).detach()
    result = attack.published(threat(*budget), **short)(net, images, labels)
    again = net(result.adversarials).argmax(1) != labels
    assert torch.equal(again, result.success)
    assert int(result.forwards.min()) > 2, "more than the clean check and the judge"


def test_published_pgd_takes_constant_steps_from_inside():
    """Madry et al.: α = 2.5·ε/N throughout, uniform starts, the cross-entropy of the softmax."""
    attack = PGD.published(L2(0.5), steps=20, restarts=4)
    assert attack.schedule == "constant"
    assert not attack.corners
    assert attack.loss == "softmax-cross-entropy"


class Flat(torch.nn.Module):
    """Leads nowhere: the last iterate is where the last restart began."""

    def forward(self, x):
        return 0.0 * x[:, :2]


@pytest.mark.parametrize("corners", [False, True])
def test_every_second_restart_is_a_corner_only_where_that_is_asked_for(corners):
    attack = PGD.published(Linf(0.1), steps=1, restarts=2, corners=corners)
    images, labels = torch.full((1, 4), 0.5), torch.tensor([0])
    moved = (attack.candidates(Flat(), images, labels) - images).abs()
    assert bool((moved > 0.0999).all()) == corners


def test_a_wrapper_goes_around_either():
    inner = PGD.published(Linf(0.1), steps=3)
    assert Restarted(inner, 2).attack.schedule == "constant"
