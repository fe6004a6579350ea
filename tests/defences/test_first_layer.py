"""The first layer of a network: found in anybody's, cut off without a trace, and refused where it is none."""

from __future__ import annotations

import pytest
import torch
from sampled import mostly_slow
from tiny_training import batches, network
from torch import nn

from saddlepoint.data import as_data
from saddlepoint.defences import TRADESYOPO, YOPO, Distillation, Free, HardLabels, running
from saddlepoint.defences.objectives.first_layer import FirstLayer
from saddlepoint.errors import InputError
from saddlepoint.model import Normalised
from saddlepoint.threat import Linf
from saddlepoint.zoo import ZOO, build_model

B = Linf(0.1)


def from_timm(name, **options):
    return pytest.importorskip("timm").create_model(name, num_classes=4, **options)


def from_torchvision(name, **options):
    models = pytest.importorskip("torchvision").models
    return getattr(models, name)(num_classes=4, **options)


FOREIGN = {
    "resnet18": (lambda: from_torchvision("resnet18"), 32, "conv1"),
    "vit_b_16": (lambda: from_torchvision("vit_b_16", image_size=32), 32, "conv_proj"),
    "timm vit": (
        lambda: from_timm("vit_tiny_patch16_224", img_size=32), 32, "patch_embed.proj",
    ),
    "timm swin": (
        lambda: from_timm("swin_tiny_patch4_window7_224", img_size=56), 56, "patch_embed.proj",
    ),
    "timm convnext": (lambda: from_timm("convnext_tiny"), 32, "stem.0"),
}  # fmt: skip
OURS = {
    "simple-cnn": "blocks.block1.conv", "carlini-mnist": "block1.conv1",
    "carlini-cifar": "block1.conv1", "maxout": "layers.maxout1.linear",
}  # fmt: skip
NETWORKS = FOREIGN | {
    f"zoo:{name}": (
        lambda name=name: build_model(f"zoo:{name}", classes=4, shape=(3, 32, 32)), 32,
        OURS.get(name, "conv"),
    )
    for name in ZOO
    # Not those of installed packages; of families of one kind the smallest.
    if not (ZOO[name].source or ZOO[name].generator)
    and (ZOO[name].side == 32 or name in ("vit-ti16", "swin-t"))
}  # fmt: skip


DEEP = {f"zoo:resnet{depth}" for depth in (34, 50, 101, 110, 152, 164)}
LARGE = {"vit_b_16", "zoo:wrn34-10", *DEEP} & set(NETWORKS)


@pytest.mark.parametrize("name", mostly_slow(NETWORKS, NETWORKS.keys() - LARGE))
def test_it_is_found_and_the_network_is_the_rest_after_it(name):
    make, size, expected = NETWORKS[name]
    net, x = make().eval(), torch.rand(2, 3, size, size)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    f0 = FirstLayer(net, None, x)
    assert f0.name == expected or f0.name.endswith(f".{expected}")
    with torch.no_grad():
        whole = net(x)
        z = f0(net, x)
    with f0.cut(net) as ends:
        logits = net(x)
    # Cut, the network is the same function, and its gradients end at the leaf.
    assert torch.equal(logits, whole)
    assert torch.equal(ends[0], z)
    assert ends[1].is_leaf
    logits.sum().backward()
    assert ends[1].grad is not None
    assert all(p.grad is None for p in f0.module(net).parameters())
    after = net.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert not any(module._forward_hooks for module in net.modules())


def test_a_transformer_of_timm_is_trained_by_it():
    net, x = from_timm("test_vit", img_size=32), torch.rand(4, 3, 32, 32)
    data = as_data((x, torch.arange(4)))
    batch = batches(1)[0]
    given = type(batch)(x, torch.arange(4), torch.arange(4), seed=0)
    output = running(YOPO(B, m=2, n=2), net, data).accumulate(net, given)
    assert output.sums["accuracy"][1] == 4
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in net.parameters())


def test_a_name_may_be_the_end_of_one():
    net = Normalised(network(), (0.5, 0.5), (0.2, 0.2))
    x = batches(1)[0].images
    whole = next(name for name, _ in net.named_modules() if name.endswith("stem"))
    assert FirstLayer(net, "stem", x).name == FirstLayer(net, None, x).name == whole


class Side(nn.Module):
    """Images reach the logits through a convolution, past it, or not at all through `idle`."""

    def __init__(self):
        super().__init__()
        self.conv, self.twice = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1)
        self.idle, self.never = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1)
        self.rnn, self.head = nn.LSTM(25, 3, batch_first=True), nn.Linear(3, 4)

    def forward(self, x):
        self.idle(x)
        x = self.twice(self.twice(self.conv(x) + x))
        rows = self.rnn(x.flatten(2))[0]
        return self.head(rows[:, -1])


class Bare(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(4, 50))

    def forward(self, x):
        return x.flatten(1) @ self.weight.T


def tiny():
    return network(norm=False).float()


def nested():
    return nn.Sequential(nn.Identity(), tiny())


@pytest.mark.parametrize(
    ("make", "name", "message"),
    [
        (tiny, "norm9", r"unknown first layer 'norm9'; .*\(known: stem, conv, head\)"),
        (tiny, "", r"unknown first layer ''; \(known: stem, conv, head\)"),
        (tiny, "head", "'head' holds the whole network; name a part of it, such as stem"),
        (nested, "1", "'1' holds the whole network; name a part of it, such as 1.stem"),
        (nested, "stem|conv", "unknown first layer"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(50, 4)), None, "holds the whole network"),
        (Bare, None, "has no convolution or linear layer to take for its first"),
        (Side, None, "the logits do not come from the first layer 'idle'; name another"),
        (Side, "conv", "the images reach the logits past the first layer 'conv' too"),
        (Side, "twice", r"pass through the first layer 'twice' 2 times, not once.*conv"),
        (Side, "never", r"pass through the first layer 'never' 0 times, not once.*conv"),
        (Side, "rnn", "the first layer 'rnn' returns no tensor; name another"),
    ],
)
def test_what_is_no_first_layer_is_refused_before_a_step_is_taken(make, name, message):
    net, batch = make(), batches(1)[0]
    data = as_data((batch.images.float(), batch.labels))
    for objective in (YOPO(B, first_layer=name), TRADESYOPO(B, first_layer=name)):
        with pytest.raises(InputError, match=message) as caught:
            running(objective, net, data)
        assert str(caught.value).count("\n") == 0
    assert not any(module._forward_hooks for module in net.modules())


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: YOPO(B, m=0), "m is 0"),
        (lambda: YOPO(B, n=0), "n is 0"),
        (lambda: TRADESYOPO(B, m=0), "m is 0"),
        (lambda: TRADESYOPO(B, n=-1), "n is -1"),
        (lambda: Free(B, m=0), "m is 0"),
        (lambda: Distillation(0.0), "temperature is 0"),
        (lambda: HardLabels(-1.0), "temperature is -1"),
    ],
)
def test_counts_and_temperatures_that_make_no_sense_are_refused(make, named):
    with pytest.raises(InputError, match=named):
        make()
