"""Nothing that a model is given or returns is shared with what is kept."""

from __future__ import annotations

import pytest
import torch
from networks import conv_case, conv_net
from small import digits, trained
from torch import nn

from saddlepoint.attacks import DDN, FAB, PGD, Square, Transfer, UniformNoise, foreign
from saddlepoint.data import TensorData
from saddlepoint.defences.quantisation import calibrate, quantise
from saddlepoint.evaluation import evaluate, rejudge
from saddlepoint.threat import L2, Linf
from saddlepoint.training import accuracy


class Inplace(nn.Module):
    """Writes into its input, at every pass or at every third one."""

    def __init__(self, net: nn.Module, every: int = 1, clone: bool = False) -> None:
        super().__init__()
        self.net, self.every, self.clone, self.calls = net, every, clone, 0

    def forward(self, x):
        self.calls += 1
        x = x.clone() if self.clone else x
        if self.calls % self.every == 0:
            x = x.sub_(0.5).div_(0.5)
            return self.net(x * 0.5 + 0.5)
        return self.net((x - 0.5) / 0.5 * 0.5 + 0.5)


def sign_step(model, images, labels):
    images.requires_grad_()
    loss = nn.functional.cross_entropy(model(images), labels)
    return (images + 0.05 * torch.autograd.grad(loss, images)[0].sign()).detach().clamp(0, 1)


ATTACKS = {
    "noise": UniformNoise(Linf(0.1), draws=10),
    "square": Square(Linf(0.05), queries=30),
    "pgd": PGD(Linf(0.03), steps=5),
    "ddn": DDN(L2(), steps=10),
    "fab": FAB(L2(), steps=3),
    "foreign": foreign(sign_step, Linf(0.06)),
    "transfer": Transfer(PGD(Linf(0.05), steps=3), surrogate=Inplace(conv_net(seed=1))),
}


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("name", ATTACKS)
def test_a_model_that_writes_into_its_input_changes_nothing(name, every):
    net, images, labels = conv_case(12, torch.float64)
    held = images.clone()
    seen = ATTACKS[name](Inplace(net, every), images, labels)
    right = ATTACKS[name](Inplace(net, every, clone=True), images, labels)
    assert torch.equal(images, held)
    assert torch.equal(seen.success, right.success)
    assert torch.equal(seen.adversarials, right.adversarials)
    assert int(right.success.sum()) > 0


@pytest.mark.parametrize("attack", ["noise", "square", "pgd"])
def test_a_first_in_place_layer_is_attacked_like_any_other(attack):
    net, images, labels = conv_case(12, torch.float64)
    first, second = (nn.Sequential(nn.Hardtanh(0.1, 0.9, inplace=i), net) for i in (True, False))
    seen, right = (ATTACKS[attack](each, images, labels) for each in (first, second))
    assert torch.equal(seen.adversarials, right.adversarials)


class Buffer(nn.Module):
    """Returns the same memory at every call, as captured engines do."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.out = net, torch.zeros(64, 5)

    def forward(self, x):
        return self.out[: len(x)].copy_(self.net(x))


@pytest.mark.parametrize("attack", ["noise", "square"])
def test_a_model_that_returns_its_buffer_has_no_other_successes(attack):
    net, images, labels = conv_case(12)
    with torch.no_grad():
        seen = ATTACKS[attack](Buffer(net), images, labels)
    right = ATTACKS[attack](net, images, labels)
    assert torch.equal(seen.success, right.success)
    assert torch.equal(seen.adversarials, right.adversarials)


def test_outside_attacks_the_images_stay_too():
    data = digits("test", limit=24)
    own = TensorData.of(data.pixels.clone(), data.labels.clone(), name="own")
    model, honest = Inplace(trained()), Inplace(trained(), clone=True)
    assert accuracy(model, own) == accuracy(honest, data)
    assert rejudge(model, own.pixels, own.labels, own.pixels, Linf(0.1)).fooled.sum() == 24 - round(
        24 * accuracy(honest, data)
    )
    found, right = (
        evaluate(m, d, Linf(0.1), suite="quick", diagnosis=None)
        for m, d in ((model, own), (honest, data))
    )
    assert found.budgets[0].robust_accuracy == right.budgets[0].robust_accuracy
    calibrate(quantise(Inplace(trained())), own.pixels)
    assert torch.equal(own.pixels, data.pixels)
