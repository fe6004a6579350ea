"""The architectures: shapes, published sizes, gradients, initial weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from saddlepoint.errors import InputError
from saddlepoint.zoo import (
    ZOO,
    ConvBlock,
    PreActResNet,
    ResNetCifar,
    SimpleCNN,
    WideResNet,
    build_model,
    weights_fingerprint,
)
from saddlepoint.zoo.shortcuts import PadShortcut

LARGE = ["resnet34", "resnet50", "resnet101", "resnet152"]  # resnet18 stands for them
OF_ALL = [
    pytest.param(n, marks=[pytest.mark.slow] * (n in LARGE)) for n in ZOO if not ZOO[n].generator
]
SMALL = ["simple-cnn", "resnet20", "resnet32", "resnet56", "preactresnet18"]


def small(name, channels, size):
    """A network of the family of `name`, small enough for a test."""
    if name == "wrn34-10":
        return WideResNet(10, 1, classes=7, channels=channels)
    if name in ("swin-t", "swin-s", "swin-b"):
        shape = (channels, *((size, size) if isinstance(size, int) else size))
        options = {"width": 24, "heads": (1, 2, 3, 4), "depths": (1, 1, 1, 1)}
        return build_model(name, classes=7, shape=shape, options=options)
    return ZOO[name].build(classes=7, channels=channels, size=size)


OF_SOME_SIZES = ("carlini", "vit-")
TRANSFORMERS = ("vit-", "swin-")  # they have GELUs


@pytest.mark.parametrize(
    "name", [each for each in OF_ALL if not each.values[0].startswith(OF_SOME_SIZES)]
)
@pytest.mark.parametrize(
    ("channels", "height", "width"), [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 17, 30), (4, 9, 5)]
)
def test_logits_of_every_size(name, channels, height, width):
    network = small(name, channels, (height, width)).eval()
    with torch.no_grad():
        logits = network(torch.rand(2, channels, height, width))
    assert logits.shape == (2, 7)
    assert bool(logits.isfinite().all())


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("resnet20", 269_722),  # He et al. 2016: 0.27 M, 0.46 M, 0.85 M
        ("resnet32", 464_154),
        ("resnet56", 853_018),
        ("preactresnet18", 11_172_170),
        ("wrn34-10", 46_160_474),
    ],
)
def test_sizes_are_those_published(name, count):
    with torch.device("meta"):
        network = ZOO[name].build(classes=10, channels=3, size=32)
    assert sum(each.numel() for each in network.parameters()) == count


@pytest.mark.parametrize("name", SMALL)
def test_every_parameter_and_the_image_get_a_gradient(name):
    torch.manual_seed(0)
    network = small(name, 1, 12)
    images = torch.rand(3, 1, 12, 12, requires_grad=True)
    nn.functional.cross_entropy(network(images), torch.tensor([0, 1, 2])).backward()
    assert float(images.grad.abs().max()) > 0
    assert all(each.grad is not None for each in network.parameters())


@pytest.mark.parametrize(
    "name",
    [
        each
        for each in OF_ALL
        if each.values[0] != "maxout" and not each.values[0].startswith(TRANSFORMERS)
    ],
)  # without ReLU
def test_no_activation_is_shared_or_in_place(name):
    """Defences replace single activations, and attacks differentiate twice through one."""
    network = small(name, 1, 16)
    found = [each for each in network.modules() if isinstance(each, nn.ReLU)]
    paths = [
        path
        for path, each in network.named_modules(remove_duplicate=False)
        if isinstance(each, nn.ReLU)
    ]
    assert len(found) == len(paths) >= 3
    assert not any(each.inplace for each in found)


def test_the_blocks_of_the_simple_network_are_named():
    network = SimpleCNN(widths=(4, 8), hidden=(16, 8))
    assert [name for name, _ in network.blocks.named_children()] == ["block1", "block2"]
    block = network.blocks.block1
    assert isinstance(block, ConvBlock)
    assert [name for name, _ in block.named_children()] == ["conv", "norm", "relu", "pool"]
    assert [name for name, _ in network.head.named_children()] == [
        "flatten",
        "linear1",
        "relu1",
        "linear2",
        "relu2",
        "logits",
    ]


@pytest.mark.parametrize(
    ("size", "pooled", "features"),
    [
        (32, [True] * 3, 128 * 16),
        (8, [True, True, False], 128 * 4),
        ((5, 40), [True, False, False], 0),
    ],
)
def test_pooling_stops_before_a_side_falls_below_two(size, pooled, features):
    network = SimpleCNN(size=size)
    assert [isinstance(block.pool, nn.AvgPool2d) for block in network.blocks] == pooled
    expected = features or 128 * 2 * 20
    assert network.head.linear1.in_features == expected


def test_the_padded_shortcut_by_hand():
    x = torch.arange(32.0).reshape(1, 2, 4, 4)
    y = PadShortcut(2, 5, stride=2)(x)
    assert torch.equal(y[:, 1:3], x[:, :, [0, 2]][:, :, :, [0, 2]])
    assert float(y[:, [0, 3, 4]].abs().sum()) == 0


def test_blocks_with_silent_branches_are_the_identity():
    network = PreActResNet((2, 1, 1, 1), channels=1).eval()
    block = network.stage1[1]
    nn.init.zeros_(block.conv2.weight)
    x = torch.rand(1, 64, 4, 4)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ResNetCifar(21), r"depth 21; give 6n \+ 2, for instance 20"),
        (lambda: WideResNet(33, 10), r"depth 33; give 6n \+ 4"),
        (lambda: WideResNet(10, 0), "width 0"),
        (lambda: SimpleCNN(kernel=4), "the kernel is 4; give an odd number"),
        (lambda: SimpleCNN(widths=()), "widths is empty"),
        (lambda: SimpleCNN(size=0), "image size is 0×0"),
        (lambda: SimpleCNN(classes=1), "1 classes"),
        (lambda: ResNetCifar(20, channels=0), "0 input channels"),
        (lambda: SimpleCNN(size=8)(torch.rand(1, 3, 9, 9)), r"\(3, 9, 9\) but .* \(3, 8, 8\)"),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize("name", SMALL)
def test_weights_depend_on_the_seed_alone(name):
    def build(seed):
        return weights_fingerprint(build_model(name, classes=3, shape=(1, 8, 8), seed=seed))

    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = build(5)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(7)
    assert build(5) == first != build(6)


def test_dropout_of_a_wide_network_works_in_training_only():
    network = WideResNet(10, 1, channels=1, dropout=0.5)
    images = torch.rand(2, 1, 8, 8)
    network.eval()
    assert torch.equal(network(images), network(images))
    network.train()
    assert not torch.equal(network(images), network(images))


def test_the_table_cannot_be_changed():
    with pytest.raises(TypeError):
        ZOO["mine"] = ZOO["resnet20"]


def test_the_networks_can_be_traced_by_vmap_over_seeds():
    networks = [build_model("simple-cnn", classes=3, shape=(1, 8, 8), seed=s) for s in (0, 1)]
    networks = [network.eval() for network in networks]
    parameters, buffers = torch.func.stack_module_state(networks)
    images = torch.rand(4, 1, 8, 8)

    def run(weights, statistics):
        return torch.func.functional_call(networks[0], (weights, statistics), (images,))

    stacked = torch.vmap(run)(parameters, buffers)
    for logits, network in zip(stacked, networks, strict=True):
        assert torch.allclose(logits, network(images), atol=1e-5)
