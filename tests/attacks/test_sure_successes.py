"""A distance is that of an image which fools alone as well, whatever the form of the logits."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from saddlepoint.attacks import ALMA, DDN, FAB, FMN, Race, Restarted
from saddlepoint.attacks.core.criteria import BinaryLogit
from saddlepoint.threat import L1, L2, Linf


def one_logit():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        net = nn.Sequential(nn.Flatten(), nn.Linear(300, 200), nn.ReLU(), nn.Linear(200, 1))
        return net, torch.rand(40, 300)


class Opposite(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        z = self.net(x)
        return torch.cat([-z, z], 1)


ATTACKS = {
    "ddn": lambda **more: DDN(L2(), steps=60, **more),
    "fmn": lambda **more: FMN(Linf(), steps=60, **more),
    "fab": lambda **more: FAB(L1(), steps=20, **more),
    "alma": lambda **more: ALMA(L2(), steps=60, **more),
    "restarted": lambda **more: Restarted(DDN(L2(), steps=40, **more), 3),
    "race": lambda **more: Race(L2(), rounds=((DDN(L2(), steps=40), 2),), **more),
}


@pytest.mark.parametrize("form", ["one logit", "two of opposite signs"])
@pytest.mark.parametrize("name", list(ATTACKS))
def test_what_fools_by_a_hair_fools_alone(name, form):
    net, x = one_logit()
    labels = (net(x)[:, 0] > 0).long()
    if form == "one logit":
        attack, model = ATTACKS[name](criterion=BinaryLogit()), net
    else:
        attack, model = ATTACKS[name](), Opposite(net)
    result = attack(model, x, labels)
    assert bool(result.success.all())
    with torch.no_grad():
        alone = torch.cat([net(image[None]) for image in result.adversarials])[:, 0]
    assert bool(((alone > 0).long() != labels).all())


def test_a_range_without_bounds_is_one():
    net = nn.Linear(4, 2)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 0]]))
        net.bias.copy_(torch.tensor([0.0, 3.0]))
    x, y = torch.full((1, 4), 9.0), torch.tensor([0])
    free = L2(lower=float("-inf"), upper=float("inf"))
    for attack in (FMN(free, steps=60), Restarted(DDN(free, steps=60), 4)):
        assert float(attack(net, x, y).distance) == pytest.approx(6.0, rel=1e-3)


def test_restarts_of_one_boundary_differ_from_the_first_run():
    """With two classes there is no other to aim at: every restart has a start of its own."""
    seen = []

    class Watched(nn.Module):
        def forward(self, x):
            seen.append(x.detach().clone())
            return torch.stack([x[:, 0] - 0.2, 0.1 * x[:, 1] + 0 * x[:, 0]], 1)

    x, y = torch.tensor([[0.9, 0.5]]), torch.tensor([0])
    Restarted(FMN(Linf(), steps=4, bisections=0), 4)(Watched(), x, y)
    distinct = {tuple(each.flatten().tolist()) for each in seen}
    assert len(distinct) >= 4 * 4
