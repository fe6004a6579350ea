"""Buffers that a model changes in evaluation mode come back, and do not steer an attack."""

from __future__ import annotations

import warnings

import pytest
import torch
from networks import conv_case
from torch import nn

from saddlepoint.attacks import DDN, PGD, UniformNoise
from saddlepoint.model import Guard
from saddlepoint.threat import L2, Linf


class Observed(nn.Module):
    """Scales its input by the largest value that it has seen so far."""

    def __init__(self, net: nn.Module, write: str) -> None:
        super().__init__()
        self.net, self.write, self.length = net, write, 1
        self.register_buffer("largest", torch.ones(1))
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64), persistent=False)
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x):
        new = self.largest.maximum(x.detach().abs().max() + 1)
        if self.write == "in place":
            self.largest.copy_(new)
        elif self.write == "data":
            self.largest.data.mul_(new / self.largest)
        elif self.write == "set data":
            self.largest.data = new.clone()
        elif self.write == "assigned":
            self.largest, self.length = new, self.length + 1
        elif self.write == "resized":
            self.largest.resize_(self.length + 1).fill_(float(new.max()))
        elif self.write == "added":
            if not hasattr(self, "cache"):
                self.register_buffer("cache", new, persistent=False)
            return self.net(x / self.cache)
        elif self.write == "removed":
            kept, self.largest = self.largest, None
            return self.net(x / kept)
        elif self.write == "batch norm":
            nn.functional.batch_norm(
                x, self.norm.running_mean, self.norm.running_var, training=True
            )
            return self.net(x + self.norm.running_mean[:, None, None])
        self.calls += 1
        return self.net(x / self.largest[:1])


WRITES = [
    "in place", "data", "set data", "assigned", "resized", "added", "removed", "batch norm",
]  # fmt: skip


def state(model):
    return {name: (id(b), b.clone()) for name, b in model.named_buffers()}


def assert_as_before(before, model):
    after = state(model)
    assert list(before) == list(after)
    for name, (identity, value) in before.items():
        assert after[name][0] == identity, name
        assert torch.equal(after[name][1], value), name


@pytest.mark.parametrize("write", [each for each in WRITES if each != "removed"])
@pytest.mark.parametrize("attack", [UniformNoise(Linf(0.1), draws=3), PGD(Linf(0.1), steps=2)])
def test_buffers_come_out_as_they_went_in(attack, write):
    net, images, labels = conv_case(8, wrong=0)
    model = Observed(net, write).eval()
    keys, before = list(model.state_dict()), state(model)
    with pytest.warns(UserWarning, match=r"evaluation mode|random at inference"):
        attack(model, images, labels)
    assert_as_before(before, model)
    assert list(model.state_dict()) == keys
    assert model.length == 1, "what a module remembers of a buffer it replaced"
    assert len(model(images)) == 8, "and it still runs"


@pytest.mark.parametrize("write", WRITES)
def test_also_after_an_exception(write):
    net, images, _ = conv_case(8)
    model = Observed(net, write).eval()
    before = state(model)

    def interrupted():
        with Guard(model, 8) as guard:
            guard.logits(images)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert_as_before(before, model)


@pytest.mark.parametrize("write", ["in place", "data", "assigned"])
def test_the_images_before_do_not_decide(write):
    """A maximum that has been reached stays: of two passes over the same images both are alike."""
    net, images, labels = conv_case(24, torch.float64, wrong=0)
    images, labels = images[:, :, :4, :4].repeat(1, 1, 2, 2), labels
    images[:, 0, 0, 0] = torch.linspace(0.5, 1, 24, dtype=torch.float64)
    model = Observed(net, write).double().eval()
    attack = DDN(L2(), steps=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = attack(model, images[3:], labels[3:])
        again = attack(model, images[3:], labels[3:])
        attack(model, images[:3], labels[:3])
        later = attack(model, images[3:], labels[3:])
    assert torch.equal(whole.adversarials, again.adversarials)
    assert torch.equal(whole.adversarials, later.adversarials)


def test_a_pass_is_a_function_of_its_images():
    net, images, _ = conv_case(8)
    model = Observed(net, "in place").eval()
    with Guard(model, 8) as guard:
        first = guard.logits(images)
        guard.logits(images * 10)
        assert torch.equal(guard.logits(images), first)
        assert guard.changed_buffer == "largest"


def test_a_graph_that_the_caller_holds_is_not_disturbed():
    net, images, labels = conv_case(8)
    for p in net.parameters():
        p.requires_grad_()
    loss = net(images).sum()
    PGD(Linf(0.1), steps=2).candidates(net, images, labels)
    loss.backward()
    assert net[0].weight.grad is not None


def test_a_buffer_that_is_expanded_or_sparse_is_left_alone():
    net, images, labels = conv_case(8)
    net.register_buffer("wide", torch.ones(1).expand(5))
    net.register_buffer("thin", torch.eye(3).to_sparse())
    assert len(UniformNoise(Linf(0.1), draws=2)(net, images, labels)) == 8
