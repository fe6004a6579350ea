"""The networks of Carlini and Wagner: their layers, sizes, first weights, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from saddlepoint.defences import load_recipe
from saddlepoint.errors import InputError
from saddlepoint.zoo import ZOO, build_model, weights_fingerprint
from saddlepoint.zoo.carlini import Carlini

NAMES = ["carlini-mnist", "carlini-cifar"]
SHAPES = {"carlini-mnist": (1, 28, 28), "carlini-cifar": (3, 32, 32)}


def build(name, shape=None, classes=10, seed=0):
    return build_model(name, classes=classes, shape=shape or SHAPES[name], seed=seed)


def layers(network, *kinds):
    return [each for each in network.modules() if isinstance(each, kinds)]


@pytest.mark.parametrize(
    ("name", "convolutions", "linears"),
    [
        (
            "carlini-mnist",
            [(1, 32), (32, 32), (32, 64), (64, 64)],
            [(64 * 4 * 4, 200), (200, 200), (200, 10)],
        ),
        (
            "carlini-cifar",
            [(3, 64), (64, 64), (64, 128), (128, 128)],
            [(128 * 5 * 5, 256), (256, 256), (256, 10)],
        ),
    ],
)
def test_the_layers_are_those_of_table_1(name, convolutions, linears):
    network = build(name)
    found = layers(network, nn.Conv2d)
    assert [(each.in_channels, each.out_channels) for each in found] == convolutions
    assert {(each.kernel_size, each.stride, each.padding) for each in found} == {
        ((3, 3), (1, 1), (0, 0))
    }
    found = layers(network, nn.Linear)
    assert [(each.in_features, each.out_features) for each in found] == linears
    # 9 · inputs · outputs + outputs for each convolution, inputs · outputs + outputs for the rest
    count = sum(9 * i * o + o for i, o in convolutions) + sum(i * o + o for i, o in linears)
    assert sum(each.numel() for each in network.parameters()) == count
    assert count == {"carlini-mnist": 312_202, "carlini-cifar": 1_147_978}[name]


@pytest.mark.parametrize("name", NAMES)
def test_the_forward_pass_by_hand(name):
    functional = nn.functional
    network = build(name).eval()
    x = images = torch.rand(3, *SHAPES[name])
    parameters = iter(network.parameters())
    for _ in range(2):
        for _ in range(2):
            x = functional.conv2d(x, next(parameters), next(parameters)).clamp(min=0)
        x = functional.max_pool2d(x, 2)
    x = x.flatten(1)
    for _ in range(2):
        x = functional.linear(x, next(parameters), next(parameters)).clamp(min=0)
    expected = functional.linear(x, next(parameters), next(parameters))
    assert next(parameters, None) is None
    assert torch.allclose(network(images), expected, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (2, 16, 16), (4, 17, 30)])
def test_logits_of_every_size_from_16_on(name, shape):
    network = build(name, shape, classes=7).eval()
    images = torch.rand(2, *shape, requires_grad=True)
    logits = network(images)
    assert logits.shape == (2, 7)
    logits.square().sum().backward()
    assert float(images.grad.abs().max()) > 0
    assert all(float(each.grad.abs().max()) > 0 for each in network.parameters())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("height", "width"), [(15, 15), (8, 8), (15, 32), (32, 15)])
def test_images_too_small_for_the_convolutions_are_refused(name, height, width):
    with pytest.raises(InputError, match=rf"images are {height}×{width}; .* at least 16"):
        build(name, (1, height, width))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Carlini(classes=1), "1 classes"),
        (lambda: Carlini(channels=0), "0 input channels"),
        (lambda: Carlini(size=0), "image size is 0×0"),
        (lambda: Carlini()(torch.rand(1, 1, 32, 32)), r"\(1, 32, 32\) but .* \(1, 28, 28\)"),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize("name", NAMES)
def test_dropout_is_between_the_hidden_layers_and_works_in_training_only(name):
    network, seen = build(name), []
    names = [each for each, _ in network.head.named_children()]
    assert names[names.index("relu1") : names.index("linear2") + 1] == [
        "relu1",
        "dropout",
        "linear2",
    ]
    assert len(layers(network, nn.Dropout)) == 1
    network.head.dropout.register_forward_hook(lambda _, given, out: seen.append((given[0], out)))
    images = torch.rand(64, *SHAPES[name])
    torch.manual_seed(0)
    network(images)
    hidden, left = seen.pop()
    kept = left[hidden > 0] > 0
    assert abs(float(kept.float().mean()) - 0.5) < 0.05
    assert torch.allclose(left[left > 0], 2 * hidden[left > 0])
    network.eval()
    assert torch.equal(network(images), network(images))
    assert all(torch.equal(hidden, left) for hidden, left in seen)


@pytest.mark.parametrize("name", NAMES)
def test_the_first_weights_are_those_of_glorot_and_depend_on_the_seed_alone(name):
    network = build(name)
    for layer in layers(network, nn.Conv2d, nn.Linear):
        field = layer.weight[0, 0].numel() if layer.weight.ndim > 2 else 1
        reach = math.sqrt(6 / (field * (layer.weight.shape[0] + layer.weight.shape[1])))
        assert 0.9 * reach < float(layer.weight.detach().abs().max()) <= reach
        assert float(layer.weight.detach().mean().abs()) < 0.1 * reach
        assert float(layer.bias.detach().abs().max()) == 0
    torch.rand(7)
    assert weights_fingerprint(build(name)) == weights_fingerprint(network)
    assert weights_fingerprint(build(name, seed=1)) != weights_fingerprint(network)


@pytest.mark.parametrize("name", NAMES)
def test_no_activation_is_shared_or_in_place(name):
    network = build(name)
    paths = [
        path
        for path, each in network.named_modules(remove_duplicate=False)
        if isinstance(each, nn.ReLU)
    ]
    found = layers(network, nn.ReLU)
    assert len(found) == len(paths) == 6
    assert not any(each.inplace for each in found)
    assert "1608.04644" in ZOO[name].reference


def test_the_shipped_recipe_shifts_digits_and_does_not_mirror_them():
    path = Path(__file__).parents[2] / "examples" / "attacks" / "carlini-mnist.yaml"
    recipe = load_recipe(str(path))
    assert (recipe.augmentation, recipe.batch_size, recipe.schedule.name) == (
        "crop",
        128,
        "one-cycle",
    )
