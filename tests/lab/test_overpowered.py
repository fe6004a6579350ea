"""The overpowered search, where the nearest pair of two classes is known."""

import pytest
import torch
from torch import nn

from saddlepoint.lab.overpowered import overpowered
from saddlepoint.zoo.generator import Generator


class Identity(Generator):
    """G(z) = z, as images of two pixels."""

    def __init__(self):
        super().__init__(2, channels=1, size=(1, 2), name="identity")
        self.body = nn.Identity()

    def forward(self, z):
        return z.reshape(len(z), 1, 1, 2)


def network(offset):
    """Two classes, on either side of x₁ = offset."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    net[1].weight.data = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    net[1].bias.data = torch.tensor([-offset, offset])
    return net


@pytest.mark.parametrize("eta", [0.3, 20.0])
def test_pairs_that_are_found_are_near_and_of_two_classes(eta):
    net, made = network(0.0), Identity()
    found = overpowered(made, net, pairs=40, eta=eta, steps=200)
    rows = found.found
    assert bool(rows.any())
    gap = (made(found.z) - made(found.other)).flatten(1).norm(dim=1)
    torch.testing.assert_close(gap[rows], found.distance[rows])
    assert bool((gap[rows] <= eta).all())
    first, second = (net(made(each)).argmax(1) for each in (found.z, found.other))
    assert bool((first != second)[rows].all())
    # z stays where it was drawn while the pair is near; no pair is found across more than η.
    assert found.share == 1 or eta < 1


def test_where_no_pair_is_near_none_is_found():
    assert overpowered(Identity(), network(50.0), pairs=10, eta=0.3, steps=50).share == 0
