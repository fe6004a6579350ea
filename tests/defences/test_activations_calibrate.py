"""Calibration: the percentile, layer by layer, and nothing else is changed."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from saddlepoint.defences.activation_base import upper_percentile
from saddlepoint.defences.activations import ACTIVATIONS, DTReLU
from saddlepoint.defences.quantisation import calibrate, quantise
from saddlepoint.errors import InputError


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("count", [1, 2, 17, 1000, 12345])
def test_the_percentile_is_that_of_torch(count):
    x = normal(count) + 1
    assert upper_percentile(x) == pytest.approx(float(x.relu().quantile(0.999)), rel=1e-6)


def test_the_percentile_of_very_many_is_estimated_fast_and_without_favouring_a_channel():
    x = normal(32, 64, 128, 128)  # 33 million, twice what torch.quantile takes
    x[:, 1::2] = 0  # every other channel is empty
    began = time.perf_counter()
    value = upper_percentile(x)
    assert time.perf_counter() - began < 2
    # Half of the entries are normal: the 99.9th percentile is their 99.8th.
    assert value == pytest.approx(
        float(torch.distributions.Normal(0, 1).icdf(torch.tensor(0.998))), rel=0.01
    )


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_starts_on_zero_to_the_percentile(name):
    layer = ACTIVATIONS[name](3)
    assert (float(layer.levels().min()), float(layer.levels().max())) == pytest.approx(
        (0, 6), abs=1e-5
    )
    x = normal(4000) * 2
    layer.calibrate(x)
    top = float(x.relu().quantile(0.999))
    assert torch.allclose(layer.levels(), torch.linspace(0, top, 8), atol=1e-5)
    before = layer.levels()
    for useless in (-x.abs(), torch.full((3,), float("nan")), torch.zeros(0)):
        layer.calibrate(useless)
        assert torch.equal(layer.levels(), before)


def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.3), nn.Conv2d(8, 4, 3),
            nn.ReLU(), nn.Flatten(), nn.Linear(64, 3),
        )  # fmt: skip


def test_a_layer_sees_what_the_calibrated_layers_before_it_give():
    net = quantise(network(), None, 2).eval()
    images = normal(32, 3, 8, 8).abs()
    calibrate(net, images)
    with torch.no_grad():
        for index in (2, 5):
            reaches = net[:index](images)
            top = float(reaches.relu().quantile(0.999))
            assert float(net[index].upper) == pytest.approx(top, rel=1e-5)
            assert float(net[index].lower) == 0


def test_nothing_else_is_changed():
    net = quantise(network())
    net[3].eval()  # flags that differ from layer to layer
    net(normal(8, 3, 8, 8)).sum().backward()
    gradients = [p.grad.clone() for p in net.parameters()]
    state = {k: v.clone() for k, v in net.state_dict().items()}
    flags = [m.training for m in net.modules()]
    random = torch.random.get_rng_state()
    hooks = [len(m._forward_pre_hooks) for m in net.modules()]
    calibrate(net, normal(32, 3, 8, 8).abs())
    assert torch.equal(torch.random.get_rng_state(), random)
    assert [m.training for m in net.modules()] == flags
    assert [len(m._forward_pre_hooks) for m in net.modules()] == hooks
    assert all(torch.equal(p.grad, g) for p, g in zip(net.parameters(), gradients, strict=True))
    assert all(p.requires_grad for p in net.parameters())
    changed = {k for k, v in net.state_dict().items() if not torch.equal(v, state[k])}
    assert changed == {"2.upper", "5.upper"}


def test_it_is_reproducible_and_a_shared_layer_covers_all_its_inputs():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.relu = nn.ReLU()

        def forward(self, x):
            return self.relu(x) + self.relu(x / 10)

    net = quantise(Twice(), None, 4)
    images = normal(500, 4)
    calibrate(net, images)
    both = torch.cat([images.flatten(), images.flatten() / 10])
    assert net.relu.upper.item() == pytest.approx(float(both.relu().quantile(0.999)), rel=1e-6)
    nets = [quantise(network()) for _ in range(2)]
    for each in nets:
        calibrate(each, images.reshape(-1, 1, 1, 4).expand(500, 3, 8, 4).repeat(1, 1, 1, 2)[:9])
    assert torch.equal(nets[0][5].upper, nets[1][5].upper)


def test_models_without_such_layers_are_left_alone_and_errors_name_the_fault():
    calibrate(nn.Linear(2, 2), torch.zeros(0, 9))
    net = quantise(network())
    with pytest.raises(InputError, match="no images to calibrate on"):
        calibrate(net, torch.zeros(0, 3, 8, 8))
    with pytest.raises(InputError, match=r"cannot be calibrated on images of shape \(5, 8, 8\)"):
        calibrate(net, torch.zeros(2, 5, 8, 8))
    assert not any(m._forward_pre_hooks for m in net.modules())
    calibrate(layer := DTReLU(4), torch.linspace(-1, 1, 1001)[:, None])
    assert float(layer.upper) == pytest.approx(0.998, rel=1e-3)
