"""Residual and plain networks against published sizes, torchvision and timm, and by hand."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from saddlepoint.errors import InputError
from saddlepoint.zoo import (
    SHORTCUTS,
    BasicBlock,
    Bottleneck,
    PadShortcut,
    ResNet,
    ResNetCifar,
    build_model,
    weights_fingerprint,
)

SIZES = {18: 11_689_512, 34: 21_797_672, 50: 25_557_032, 101: 44_549_160, 152: 60_192_808}


def weights(network):
    return sum(each.numel() for each in network.parameters())


@pytest.mark.parametrize("depth", SIZES)
@pytest.mark.parametrize("stride_on", ["3x3", "1x1"])
def test_sizes_for_imagenet(depth, stride_on):
    if depth < 50 and stride_on == "1x1":  # basic blocks have no 1×1 to put it on
        with pytest.raises(InputError, match="stride_on is for bottlenecks"):
            ResNet(depth, stride_on=stride_on)
        return
    with torch.device("meta"):
        assert weights(ResNet(depth, stride_on=stride_on)) == SIZES[depth]


@pytest.mark.parametrize(
    ("depth", "stride_on", "billions"),
    [
        (18, "3x3", 1.814),
        (34, "3x3", 3.664),
        (50, "3x3", 4.089),
        (50, "1x1", 3.858),  # "3.8" in the paper
        (101, "3x3", 7.801),
        (152, "3x3", 11.514),
    ],
)
def test_multiply_adds_at_224(depth, stride_on, billions):
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        ResNet(depth, stride_on=stride_on).eval()(torch.zeros(1, 3, 224, 224))
    assert round(counter.get_total_flops() / 2e9, 3) == billions


@pytest.mark.parametrize(
    ("depth", "padded", "projected"),
    [
        (20, 269_722, 283_962),
        (32, 464_154, 489_594),
        (44, 658_586, 695_226),
        (56, 853_018, 900_858),
        (110, 1_727_962, 1_826_202),
    ],
)
def test_sizes_for_cifar_by_shortcut(depth, padded, projected):
    with torch.device("meta"):
        found = {name: weights(ResNetCifar(depth, shortcut=name)) for name in SHORTCUTS}
    assert found == {"A": padded, "B": padded + 2_752, "C": projected, "none": padded}


def test_a_bottleneck_costs_about_as_much_as_a_basic_block_of_the_inner_width():
    def cost(block):
        with torch.device("meta"), FlopCounterMode(display=False) as counter:
            block.eval()(torch.zeros(1, block.conv1.in_channels, 56, 56))
        return counter.get_total_flops()

    with torch.device("meta"):
        bottleneck, basic = Bottleneck(256, 64, 1), BasicBlock(64, 64, 1)
    assert 0.9 < cost(bottleneck) / cost(basic) < 1.0


def renamed(key):
    """Return torchvision's and timm's name of a tensor of ours."""
    key = re.sub(r"^stage", "layer", key).replace("shortcut.conv", "downsample.0")
    key = key.replace("shortcut.norm", "downsample.1").replace("logits", "fc")
    key = re.sub(r"^(conv|norm)\.", r"\g<1>1.", key)
    return key.replace("norm", "bn")


def agitated(network):
    """Return the network in double precision with statistics that are not 0 and 1."""
    generator = torch.Generator().manual_seed(0)
    network = network.double().eval()
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            for tensor, low in ((part.running_mean, -0.5), (part.running_var, 0.5)):
                tensor.copy_(low + torch.rand(tensor.shape, generator=generator))
    return network


@pytest.mark.parametrize("depth", [18, 34, 50])
@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_logits_are_those_of_others(library, depth):
    module = pytest.importorskip("torchvision.models" if library == "torchvision" else "timm")
    ours = agitated(ResNet(depth))
    make = getattr(module, f"resnet{depth}", None)
    theirs = (make() if make else module.create_model(f"resnet{depth}")).double().eval()
    theirs.load_state_dict({renamed(key): value for key, value in ours.state_dict().items()})
    images = torch.rand(1, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        expected, found = theirs(images), ours(images)
    assert float((found - expected).norm() / expected.norm()) < 1e-9
    assert float(expected.std()) > 1e-3


def test_the_place_of_the_stride_changes_values_and_not_names():
    late, early = agitated(ResNet(50, small=True)), ResNet(50, small=True, stride_on="1x1")
    early = early.double().eval()
    early.load_state_dict(late.state_dict())
    images = torch.rand(1, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        assert not torch.allclose(late(images), early(images))
    block = early.stage2[0]
    assert (block.conv1.stride, block.conv2.stride) == ((2, 2), (1, 1))


@pytest.mark.parametrize("block", [BasicBlock(8, 8, 1), Bottleneck(32, 8, 1)])
def test_a_block_whose_last_scale_is_zero_is_a_relu(block):
    nn.init.zeros_(block.last.weight)
    x = torch.randn(2, block.conv1.in_channels, 5, 5)
    assert torch.equal(block.eval()(x), x.relu())


def test_the_padded_shortcut_keeps_the_sum_over_channels():
    x = torch.randn(2, 16, 7, 7, dtype=torch.float64)
    found = PadShortcut(16, 64, stride=2)(x).sum(1)
    assert torch.allclose(found, x[:, :, ::2, ::2].sum(1), rtol=0, atol=1e-12)


def test_shortcuts_stand_where_the_paper_puts_them():
    kinds = {
        name: [type(block.shortcut).__name__ for block in ResNetCifar(20, shortcut=name).stage2]
        for name in SHORTCUTS
    }
    assert kinds == {
        "A": ["PadShortcut", "Identity", "Identity"],
        "B": ["ProjectionShortcut", "Identity", "Identity"],
        "C": ["ProjectionShortcut"] * 3,
        "none": ["NoneType"] * 3,
    }


@pytest.mark.parametrize("name", ["resnet18", "resnet44", "plain20"])
@pytest.mark.parametrize("size", [(32, 32), (24, 40), (64, 64)])
def test_one_set_of_weights_is_for_every_resolution(name, size):
    network = build_model(name, classes=5, shape=(3, 32, 32)).eval()
    with torch.no_grad():
        assert network(torch.rand(2, 3, *size)).shape == (2, 5)


@pytest.mark.parametrize(
    ("name", "fingerprint"),
    [
        ("resnet20", "e379137eadd42d72"),
        ("resnet56", "1ec4ebe2b166e841"),
    ],
)
def test_what_had_a_name_before_has_the_same_weights(name, fingerprint):
    network = build_model(name, classes=10, shape=(3, 32, 32))
    assert weights_fingerprint(network) == fingerprint


def test_options_reach_the_networks():
    def built(name, **options):
        return build_model(name, classes=10, shape=(3, 32, 32), options=options)

    assert weights(built("resnet20", shortcut="B")) == 269_722 + 2_752
    assert built("resnet18", small=True).conv.kernel_size == (3, 3)
    assert isinstance(built("resnet56", block="bottleneck").stage3[5], Bottleneck)
    assert isinstance(built("resnet164").stage1[17], Bottleneck)
    assert built("resnet164").stage2[0].conv1.in_channels == 64
    assert built("resnet110", block="bottleneck", stride_on="1x1").stage2[0].conv1.stride == (2, 2)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet20", {"shortcut": "D"}, r"unknown shortcut 'D'; .*\(known: A, B, C, none\)"),
        ("resnet20", {"block": "wide"}, r"unknown block 'wide'"),
        ("resnet32", {"block": "bottleneck"}, r"depth 32; give 9n \+ 2, for instance 29, 110"),
        ("resnet18", {"small": "maybe"}, 'small is "maybe"'),
        ("resnet50", {"stride_on": "5x5"}, 'stride_on is "5x5"'),
        ("plain20", {"shortcut": "A"}, "unknown option of plain20 'shortcut'"),
    ],
)
def test_what_is_refused(name, options, message):
    with pytest.raises(InputError, match=message):
        build_model(name, classes=10, shape=(3, 32, 32), options=options)


def test_another_depth_is_refused():
    with pytest.raises(InputError, match="depth 28; give one of 18, 34, 50, 101, 152"):
        ResNet(28)
