"""Where the valid range does not end attacks stop at 10⁹, and what never falls is no success."""

from __future__ import annotations

import math

import pytest
import torch

from saddlepoint.attacks import build_attack
from saddlepoint.threat import L2, Rescaled


class Never(torch.nn.Module):
    """A network whose answer never changes, though its logits move, ever less."""

    def __init__(self):
        super().__init__()
        self.largest = 0.0

    def forward(self, x):
        self.largest = max(self.largest, float(x.detach().abs().max()))
        return torch.stack([torch.ones(len(x)), 1 - 1 / (1 + x.flatten(1).sum(1).abs() * 1e-12)], 1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["ddn", "deepfool", "fab", "fmn"])
def test_what_never_falls_is_looked_at_in_finite_places(name):
    threat = Rescaled(L2(lower=-math.inf, upper=math.inf), (0.5,), (0.25,))
    net = Never()
    attack = build_attack(name, threat, {} if name == "deepfool" else {"steps": 300})
    found = attack(net, torch.rand(3, 1, 2, 2), torch.zeros(3, dtype=torch.long))
    assert not found.success.any()
    assert net.largest <= 1.01e9
