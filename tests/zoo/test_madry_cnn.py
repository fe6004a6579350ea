"""The family of Madry et al.: its layers, widths, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from saddlepoint.errors import InputError
from saddlepoint.zoo import build_model, weights_fingerprint
from saddlepoint.zoo.madry_cnn import MadryCNN


def build(scale=None, shape=(1, 28, 28), classes=10, seed=0):
    options = {} if scale is None else {"scale": scale}
    return build_model("zoo:madry-cnn", classes=classes, shape=shape, seed=seed, options=options)


@pytest.mark.parametrize(
    ("scale", "first", "second", "hidden"),
    [(1, 2, 4, 64), (2, 4, 8, 128), (4, 8, 16, 256), (8, 16, 32, 512), (16, 32, 64, 1024)],
)
def test_the_widths_are_those_of_the_paper(scale, first, second, hidden):
    network = build(scale)
    convolutions = [each for each in network.modules() if isinstance(each, nn.Conv2d)]
    assert [(c.in_channels, c.out_channels) for c in convolutions] == [(1, first), (first, second)]
    assert {(c.kernel_size, c.stride, c.padding) for c in convolutions} == {
        ((5, 5), (1, 1), (2, 2))
    }
    linears = [each for each in network.modules() if isinstance(each, nn.Linear)]
    sizes = [(second * 7 * 7, hidden), (hidden, 10)]
    assert [(each.in_features, each.out_features) for each in linears] == sizes
    count = 25 * first + first + 25 * first * second + second + sum(i * o + o for i, o in sizes)
    assert sum(each.numel() for each in network.parameters()) == count


def test_without_an_option_it_is_the_network_of_table_1():
    assert build().head.linear.out_features == 1024


def test_the_forward_pass_by_hand():
    functional = nn.functional
    network = build(2)
    x = images = torch.rand(3, 1, 28, 28)
    parameters = iter(network.parameters())
    for _ in range(2):
        x = functional.conv2d(x, next(parameters), next(parameters), padding=2).clamp(min=0)
        x = functional.max_pool2d(x, 2)
    x = functional.linear(x.flatten(1), next(parameters), next(parameters)).clamp(min=0)
    expected = functional.linear(x, next(parameters), next(parameters))
    assert next(parameters, None) is None
    assert torch.allclose(network(images), expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (4, 9, 5), (2, 4, 4)])
def test_every_size_from_4_on_and_a_gradient_everywhere(shape):
    network = build(2, shape, classes=7)
    images = torch.rand(8, *shape, requires_grad=True)
    network(images).square().sum().backward()
    assert float(images.grad.abs().max()) > 0
    assert all(float(each.grad.abs().max()) > 0 for each in network.parameters())


def test_the_layout_of_memory_changes_nothing_but_rounding():
    images, network = torch.rand(4, 1, 28, 28), build(2)
    before = network(images)
    after = network.to(memory_format=torch.channels_last)(images)
    torch.testing.assert_close(before, after, rtol=1e-4, atol=1e-5)


def test_the_first_weights_depend_on_the_seed_alone():
    torch.rand(3)
    assert weights_fingerprint(build(1)) == weights_fingerprint(build(1))
    assert weights_fingerprint(build(1)) != weights_fingerprint(build(1, seed=1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: build(0), "scale is 0; give at least 1"),
        (lambda: build(1, (1, 3, 9)), "images are 3×9; .* pools twice"),
        (
            lambda: build_model("madry-cnn", classes=10, shape=(1, 8, 8), options={"scal": 1}),
            "scale",
        ),
        (lambda: MadryCNN(1, classes=1), "1 classes"),
        (lambda: MadryCNN(1)(torch.rand(1, 1, 32, 32)), r"\(1, 32, 32\) but .* \(1, 28, 28\)"),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
