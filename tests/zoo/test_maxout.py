"""The maxout network: its layers, sizes, first weights, dropout, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from saddlepoint.errors import InputError
from saddlepoint.zoo import ZOO, build_model, weights_fingerprint
from saddlepoint.zoo.maxout import Maxout, MaxoutLayer


def build(seed=0, shape=(1, 8, 8), **options):
    return build_model("zoo:maxout", classes=7, shape=shape, seed=seed, options=options)


def test_a_layer_is_the_largest_of_its_pieces():
    layer = MaxoutLayer(4, units=3, pieces=5).double()
    x = torch.randn(6, 4, dtype=torch.float64)
    found = layer(x)
    weight, bias = layer.linear.weight.detach(), layer.linear.bias.detach()
    for i in range(6):
        for unit in range(3):
            pieces = [weight[p * 3 + unit] @ x[i] + bias[p * 3 + unit] for p in range(5)]
            assert float(found[i, unit].detach()) == pytest.approx(float(max(pieces)), rel=1e-12)


def test_only_the_largest_piece_learns():
    layer = MaxoutLayer(2, units=1, pieces=3)
    nn.init.zeros_(layer.linear.bias)
    with torch.no_grad():
        layer.linear.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]))
    layer(torch.tensor([[0.5, 2.0]])).sum().backward()
    assert layer.linear.weight.grad.tolist() == [[0.0, 0.0], [0.5, 2.0], [0.0, 0.0]]


def test_the_forward_pass_by_hand():
    network = build(units=6, pieces=3, reach=0.5).eval()
    x = images = torch.rand(4, 1, 8, 8)
    parameters = iter(network.parameters())
    x = x.flatten(1)
    for _ in range(2):
        pieces = nn.functional.linear(x, next(parameters), next(parameters))
        x = pieces.reshape(4, 3, 6).amax(1)
    expected = nn.functional.linear(x, next(parameters), next(parameters))
    assert next(parameters, None) is None
    torch.testing.assert_close(network(images), expected)


@pytest.mark.parametrize(
    ("units", "pieces", "count"), [(240, 5, 1_233_610), (1600, 5, 19_104_010), (1600, 2, 7_651_210)]
)
def test_sizes_on_mnist(units, pieces, count):
    # 785·units·pieces + (units + 1)·units·pieces + 10·(units + 1)
    with torch.device("meta"):
        network = Maxout(units, pieces)
    assert sum(each.numel() for each in network.parameters()) == count


def test_the_order_of_the_pixels_does_not_matter():
    network, order = build(reach=0.1).eval(), torch.randperm(64)
    images = torch.rand(3, 1, 8, 8)
    shuffled = images.flatten(1)[:, order].reshape(3, 1, 8, 8)
    expected = network(images)
    linear = network.layers.maxout1.linear
    linear.weight.data = linear.weight.data[:, order]
    torch.testing.assert_close(network(shuffled), expected)


def test_the_first_weights_are_within_reach_and_of_the_seed():
    for reach, network in ((0.005, build()), (0.3, build(reach=0.3))):
        for name, parameter in network.named_parameters():
            largest = float(parameter.detach().abs().max())
            assert largest == 0 if name.endswith("bias") else 0.95 * reach < largest <= reach
    assert weights_fingerprint(build()) == weights_fingerprint(build())
    assert weights_fingerprint(build()) != weights_fingerprint(build(seed=1))


def test_a_fifth_of_the_inputs_and_half_of_the_units_are_dropped_in_training_only():
    network, seen = build(units=50, reach=0.3), []
    for name in ("dropout0", "dropout1", "dropout2"):
        network.layers.get_submodule(name).register_forward_hook(
            lambda _, given, out: seen.append((given[0], out))
        )
    images = torch.rand(200, 1, 8, 8)
    torch.manual_seed(0)
    network(images)
    for (before, after), share in zip(seen, (0.2, 0.5, 0.5), strict=True):
        alive = before.abs() > 1e-6
        assert float((after[alive] == 0).float().mean()) == pytest.approx(share, abs=0.03)
        kept = after != 0
        torch.testing.assert_close(after[kept], before[kept] / (1 - share))
    seen.clear()
    network.eval()(images)
    assert all(torch.equal(before, after) for before, after in seen)
    without = build(dropout=(0.0, 0.0))
    assert torch.equal(without(images), without(images))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Maxout(units=0), "units is 0; give at least 1"),
        (lambda: Maxout(pieces=0), "pieces is 0; give at least 1"),
        (lambda: Maxout(dropout=(0.2, 1.0)), r"dropout is 1.0; give a number in \[0, 1\)"),
        (lambda: Maxout(reach=-1), "reach is -1"),
        (lambda: Maxout(classes=1), "1 classes"),
        (lambda: Maxout(size=0), "image size is 0×0"),
        (lambda: Maxout()(torch.rand(1, 1, 9, 9)), r"\(1, 9, 9\) but .* \(1, 28, 28\)"),
        (lambda: build(widths=3), "unknown option of maxout 'widths'"),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_the_registry_says_where_it_is_from():
    assert "1302.4389" in ZOO["maxout"].reference
