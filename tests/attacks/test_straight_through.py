"""What rounds as a function is attacked as a module is whose backward is replaced."""

from __future__ import annotations

import pytest
import torch
from networks import conv_case
from torch import nn

from saddlepoint.attacks import BPDA, DDN, FAB, PGD, AtBudget, StraightThrough, wrapped
from saddlepoint.errors import InputError
from saddlepoint.model import Guard
from saddlepoint.threat import L2, Linf


def in_place(x):
    y = 15 * x
    y[:, :2].round_()
    y[:, 2:].add_(0.5).floor_()
    return y / 15


ROUNDINGS = {
    "round": lambda x: torch.round(x * 15) / 15,
    "method": lambda x: (x * 15).round() / 15,
    "special": lambda x: torch.special.round(x * 15) / 15,
    "decimals": lambda x: x.round(decimals=1),
    "floor, by name": lambda x: torch.floor(input=x * 15 + 0.5) / 15,
    "ceil": lambda x: (x * 15 - 0.5).ceil() / 15,
    "trunc": lambda x: torch.trunc(x * 15 + 0.5) / 15,
    "fix": lambda x: (x * 15 + 0.5).fix() / 15,
    "in place": in_place,
    "floor_divide": lambda x: torch.floor_divide(x + 1 / 30, 1 / 15) / 15,
    "//": lambda x: (x + 1 / 30) // (1 / 15) / 15,
    "div": lambda x: (x + 1 / 30).div(1 / 15, rounding_mode="floor") / 15,
    "sign": lambda x: 0.5 + 0.02 * torch.sign(x - 0.3) + 0.03 * (x - 0.6).sgn(),
}


class Calls(nn.Module):
    """A network behind a function, and behind the same as a module."""

    def __init__(self, function, net):
        super().__init__()
        self.function, self.net = function, net

    def forward(self, x):
        return self.net(self.function(x))


class Of(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize("name", ROUNDINGS)
def test_gradients_are_those_of_what_is_rounded_and_values_stay(name):
    net, images, labels = conv_case(4, torch.float64, wrong=0)
    model = Calls(ROUNDINGS[name], net)
    with torch.no_grad():
        values = model(images)
    labels = values.argmax(1)
    inner = seen(StraightThrough, model, images, labels)
    assert torch.equal(inner[0], values)
    module = nn.Sequential(Of(ROUNDINGS[name]), net)
    scale = {"sign": 0.05}.get(name, 1.0)
    replaced = seen(lambda a: BPDA(a, "0", surrogate=lambda x: scale * x), module, images, labels)
    assert torch.allclose(inner[1], replaced[1], rtol=1e-9, atol=0)
    assert bool(inner[1].any())


def seen(wrapper, model, images, labels):
    """The logits and the gradient of the first class that an attack inside a wrapper gets."""
    got = []

    class Look(PGD):
        def perturb(self, batch, tracker):
            got.extend(batch.gradient(batch.clean, lambda z: z[:, 0]))
            rows = batch.jacobian(
                batch.clean, lambda z: torch.eye(5).to(z)[:2].expand(len(z), 2, 5)
            )
            assert torch.allclose(rows[1][:, 0], got[1])
            tracker.offer(batch, batch.project(batch.clean + 0.01))

    wrapper(Look(Linf(0.1)))(model, images, labels)
    return got


def test_a_rounded_network_falls_as_one_that_is_not():
    net, images, labels = conv_case(32)
    model = Calls(ROUNDINGS["method"], net)
    with torch.no_grad():
        labels = model(images).argmax(1)
    attack = PGD(Linf(0.06), steps=10)
    with pytest.warns(UserWarning, match="gradient was exactly 0"):
        masked = attack(model, images, labels)
    assert masked.success_rate < 0.5
    assert StraightThrough(attack)(model, images, labels).success_rate > 0.9
    nearest = AtBudget(DDN(L2(), steps=20), L2(0.8))
    assert StraightThrough(nearest)(model, images, labels).success_rate > 0.9
    assert StraightThrough(FAB(Linf(), steps=5))(model, images, labels).success_rate > 0.9
    assert wrapped(attack, ["straight-through"]) == StraightThrough(attack)


def test_outside_the_attack_and_after_an_error_all_is_as_before():
    class Broken(PGD):
        def perturb(self, batch, tracker):
            raise KeyError

    net, images, labels = conv_case(2, wrong=0)
    with pytest.raises(KeyError):
        StraightThrough(Broken(Linf(0.1)))(net, images, labels)
    x = torch.tensor([0.7, 1.2], requires_grad=True)
    assert torch.autograd.grad(x.round().sum(), x)[0].tolist() == [0, 0]
    with Guard(nn.Sequential(Of(torch.round), nn.Flatten()), 1) as guard:
        assert not bool(guard.gradient(x.detach()[None], lambda z: z[:, 0])[1].any())


def test_of_whole_numbers_and_of_what_needs_no_gradient_nothing_changes():
    table = torch.arange(16) // 2

    def looked_up(x):
        levels = torch.round(torch.linspace(0, 1, 16) * 7)  # no gradient is wanted of these
        whole = torch.div(table, 2, rounding_mode="trunc")
        assert whole.dtype == torch.int64
        assert not levels.requires_grad
        return x * levels[-1] / 7

    net, images, labels = conv_case(4)
    straight = StraightThrough(PGD(Linf(0.02), steps=3))(Calls(looked_up, net), images, labels)
    plain = PGD(Linf(0.02), steps=3)(net, images, labels)
    assert torch.equal(straight.adversarials, plain.adversarials)


def test_a_compiled_loop_is_refused():
    with pytest.raises(InputError, match="leave compile out"):
        StraightThrough(PGD(Linf(0.1), compile=True))
