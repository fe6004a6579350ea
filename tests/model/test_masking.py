"""Modules that hide the gradient are named, and no others."""

from __future__ import annotations

import io
from copy import deepcopy

import numpy as np
import pytest
import timm
import torch
from networks import conv_net
from PIL import Image
from small import same
from torch import nn

from saddlepoint.errors import InputError
from saddlepoint.model import Normalised, hidden_gradients


class Of(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x, *rest):
        return self.function(x, *rest)


class Zeros(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return torch.zeros_like(gradient)


def jpeg(x):
    pictures = []
    for image in x.detach().clamp(0, 1).permute(0, 2, 3, 1).mul(255).byte().cpu().numpy():
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=75)
        pictures.append(np.asarray(Image.open(file)))
    return torch.tensor(np.stack(pictures)).permute(0, 3, 1, 2).to(x) / 255


HIDE = {
    "rounding": lambda x: (x * 15).round() / 15,
    "two levels": lambda x: (x > 0.5).to(x),
    "zeros": Zeros.apply,
    "jpeg": jpeg,
    "numpy": lambda x: torch.from_numpy(x.numpy().round(1)),  # which a graph forbids
    "no backward": lambda x: x // (1 / 15) / 15,
    "detached": lambda x: x.detach(),
    "random": lambda x: (x + torch.rand_like(x) / 8).round(),
    "in place": lambda x: x.mul_(4).round_(),
}
IMAGES = torch.rand(3, 3, 8, 8)


@pytest.mark.parametrize("name", HIDE)
@pytest.mark.parametrize("count", [1, 3])
def test_what_hides_is_named(name, count):
    net = nn.Sequential(nn.Identity(), Of(HIDE[name]), conv_net())
    assert hidden_gradients(net, IMAGES[:count]) == ("1",)


def resnet():
    torch.manual_seed(0)
    return Normalised(timm.create_model("resnet18", num_classes=5), (0.5,) * 3, (0.2,) * 3)


def cnn():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Dropout(0.9),
        nn.Conv2d(8, 8, 3, padding=1), nn.Hardtanh(), nn.Flatten(), nn.Linear(512, 5), nn.Softmax(1),
    )  # fmt: skip


@pytest.mark.parametrize("build", [resnet, cnn, conv_net])
def test_networks_that_hide_nothing(build):
    net = build()
    training, before = net.training, deepcopy(net.state_dict())
    assert hidden_gradients(net, IMAGES) == ()
    assert net.training == training
    assert same(net.state_dict(), before)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (x - 2).relu(),  # off for every image
        lambda x: 0 * x.detach() + 1,
        lambda x: x + torch.rand_like(x),
        lambda x: torch.where(x > 0.5, x, 0),
    ],
    ids=["off", "constant", "noise", "in part"],
)
def test_what_is_flat_or_partly_flat_is_not(function):
    assert hidden_gradients(nn.Sequential(Of(function), conv_net()), IMAGES) == ()


def test_of_modules_inside_each_other_one_is_named():
    def around(function):
        return nn.Sequential(nn.Conv2d(3, 3, 1), Of(function), nn.Conv2d(3, 3, 1))

    two = nn.Sequential(around(torch.round), around(Zeros.apply), conv_net())
    assert hidden_gradients(two, IMAGES) == ("0.1", "1.1")
    for module in (two[0], two[1]):  # convolutions keep their true gradient
        module.add_module("3", Of(torch.detach))
    assert hidden_gradients(two, IMAGES) == ("0.1", "0.3", "1.1", "1.3")

    class Cut(nn.Sequential):
        def forward(self, x):
            return super().forward(x).detach()

    outer = nn.Sequential(Cut(nn.Conv2d(3, 3, 1), Of(torch.round)), conv_net())
    assert hidden_gradients(outer, IMAGES) == ("0",), "more than what is inside it hides"


def test_a_module_that_is_called_twice_and_one_with_more_inputs():
    twice = Of(torch.round)
    assert hidden_gradients(nn.Sequential(twice, nn.Identity(), twice, conv_net()), IMAGES) == (
        "0",
    )

    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.steps, self.net = Of(lambda x, scale: (x * scale).round() / scale), conv_net()

        def forward(self, x):
            return self.net(self.steps(x, torch.tensor(15.0)))

    assert hidden_gradients(Scaled(), IMAGES) == ("steps",)


def test_scripted_parts_are_passed_over_and_images_must_fit():
    scripted = torch.jit.trace(conv_net().eval(), IMAGES)
    assert hidden_gradients(nn.Sequential(Of(torch.round), scripted), IMAGES) == ("0",)
    with pytest.raises(InputError, match="cannot take"):
        hidden_gradients(conv_net(), torch.rand(2, 1, 8, 8))
