"""`hard`: what only units that are off at every start can reach, its limits, and its replay."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from saddlepoint.attacks import APGD, Batch, Best, Hard, Misclassified, hard
from saddlepoint.attacks.core.activations import pre_activations
from saddlepoint.attacks.core.replicas import Replicas, replicated
from saddlepoint.model import Guard
from saddlepoint.streams import Keys
from saddlepoint.threat import L2, Box, Linf


def hidden(inputs=40, count=6, out=200):
    """A network constant over the ball but behind one unit that all of random points leave off.

    Unit 0 is on only near one corner of the ball of 0.1 around ½, and is all that lowers class 0;
    the others are always off there, so that the gradient of the logits is 0 almost everywhere.
    """
    random = torch.Generator().manual_seed(3)
    signs = torch.randint(0, 2, (inputs,), generator=random).float() * 2 - 1
    first = nn.Linear(inputs, out)
    with torch.no_grad():
        first.weight.copy_(torch.randn(out, inputs, generator=random))
        first.weight[0] = signs
        middle = first.weight @ torch.full((inputs,), 0.5)
        reach = 0.1 * first.weight.abs().sum(1)
        first.bias.copy_(-middle - 2.0 * reach)  # off in the whole ball
        first.bias[0] = -middle[0] - 0.8 * reach[0]  # on in a fifth of the way to the corner
    last = nn.Linear(out, 3)
    with torch.no_grad():
        last.weight.zero_()
        last.weight[1, 0] = 10.0
        last.bias.copy_(torch.tensor([2.0, 0.5, -0.5]))
    net = nn.Sequential(first, nn.ReLU(), last)
    return net, torch.full((count, inputs), 0.5), torch.zeros(count, dtype=torch.int64)


@pytest.mark.filterwarnings("ignore:the gradient was exactly 0")
def test_it_finds_what_no_gradient_of_the_logits_shows():
    net, x, y = hidden()
    assert not bool(APGD(Linf(0.1), steps=100, restarts=10, loss="margin")(net, x, y).success.any())
    found = Hard(Linf(0.1), passes=6000, starts=4, steps=20)(net, x, y)
    assert bool(found.success.all())
    box = Hard(Box(0.4, 0.6), passes=6000, starts=4, steps=20)(net, x, y)
    assert bool(box.success.all())


@pytest.mark.filterwarnings("ignore:the gradient was exactly 0")
def test_passes_repeat_what_a_time_limit_found():
    net, x, y = hidden()
    net[2].weight.data[1, 0] = 0.0  # nothing can be found
    timed = Hard(Linf(0.1), seconds=0.5, starts=2, steps=5)(net, x, y)
    passes = int((timed.forwards + timed.backwards).max())
    again = Hard(Linf(0.1), passes=passes, starts=2, steps=5)(net, x, y)
    assert not bool(timed.success.any())
    assert torch.equal(timed.adversarials, again.adversarials)
    assert torch.equal(timed.forwards, again.forwards)


@pytest.mark.filterwarnings("ignore:the gradient was exactly 0")
def test_the_clock_ends_it():
    net, x, y = hidden()
    net[2].weight.data[1, 0] = 0.0
    began = time.monotonic()
    Hard(L2(0.1), seconds=0.2, starts=2, steps=3)(net, x, y)
    assert time.monotonic() - began < 10
    assert hard(Linf(0.1)).passes is None


@pytest.mark.parametrize("inplace", [False, True])
def test_hooks_are_gone_and_read_what_comes_before_the_activation(inplace):
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=inplace), nn.Linear(4, 2), nn.Tanh())
    x = torch.randn(2, 3, generator=torch.manual_seed(0))
    with pre_activations(net) as seen:
        net(x)
    assert torch.equal(seen[0], net[0](x))
    with pytest.raises(RuntimeError), pre_activations(net):
        net(x[:, :2])
    assert not any(module._forward_pre_hooks for module in net.modules())


def test_functions_in_place_of_modules_are_read_at_the_linear_layers():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, x):
            return self.two(self.one(x).relu())

    net = Functional()
    with pre_activations(net) as seen:
        net(torch.zeros(1, 3))
    assert [tuple(each.shape) for each in seen] == [(1, 4)]


def test_of_the_replicas_of_a_sample_the_one_of_smallest_margin_is_kept():
    x, rows = torch.tensor([[0.9, 0.1], [0.8, 0.1]]), torch.arange(2)
    labels, net = torch.zeros(2, dtype=torch.int64), nn.Flatten()
    with Guard(net, count=2) as guard:
        batch = Batch(guard, Linf(1.0), Misclassified(), x, labels, Keys(0, rows), rows)
        best, many = Best(x), replicated(batch, 3)
        z = torch.tensor([[0.9, 0.5], [0.9, 0.8], [0.9, 0.6], [0.8, 0.7], [0.8, 0.2], [0.8, 0.3]])
        Replicas(best).record(many, z, many.logits(z))
    assert guard.forwards.tolist() == [3, 3]
    torch.testing.assert_close(best.images, torch.tensor([[0.9, 0.8], [0.8, 0.7]]))
