"""Quantising a whole model, calibrating it, training it, and the way back."""

from __future__ import annotations

import copy

import pytest
import torch
from sampled import mostly_slow
from small import conv, digits, same
from torch import nn

from saddlepoint.defences import Optimiser, Recipe
from saddlepoint.defences.activations import ACTIVATIONS, DTReLU
from saddlepoint.defences.quantisation import calibrate, fake_quantise, quantise, unquantise
from saddlepoint.errors import InputError
from saddlepoint.training import train
from saddlepoint.zoo import build_model, load_weights, save_weights


class Block(nn.Module):
    """A ReLU used twice, as torchvision's residual blocks do, and a transposed convolution."""

    def __init__(self):
        super().__init__()
        self.relu = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(3, 6, 3, groups=3)
        self.up = nn.ConvTranspose2d(6, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 5)

    def forward(self, x):
        x = self.relu(self.norm(self.up(self.relu(self.conv(x)))))
        return self.head(x.mean((2, 3)))


def block(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Block()


IMAGES = torch.rand(16, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_weights_are_on_their_levels_and_biases_are_not_touched():
    net = block()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    assert quantise(net, weight_bits=2, activation_bits=None) is net
    for name in ("conv", "up", "head"):
        layer = net.get_submodule(name)
        assert torch.equal(layer.weight, fake_quantise(before[f"{name}.weight"], 2))
        assert torch.equal(layer.bias, before[f"{name}.bias"])
        assert len(layer.weight.unique()) <= 4
        assert not dict(layer.named_buffers())
    assert isinstance(net.relu, nn.ReLU)


def test_weights_are_quantised_at_every_forward_and_the_gradient_reaches_the_original():
    net = quantise(nn.Sequential(nn.Linear(6, 4), nn.ReLU()), 3, None)
    original = net[0].parametrizations.weight.original
    net(torch.rand(8, 6)).sum().backward()
    with torch.no_grad():
        original += torch.randn(4, 6)
    assert torch.equal(net[0].weight, fake_quantise(original, 3))
    inputs = torch.rand(8, 6)
    net.zero_grad()
    net[0](inputs).sum().backward()
    assert torch.allclose(original.grad, inputs.sum(0).expand(4, 6))


def test_each_output_channel_can_have_its_own_range():
    net = quantise(block(), 1, None, per_channel=True)
    for layer, axis in ((net.conv, 0), (net.up, 1), (net.head, 0)):
        original = layer.parametrizations.weight.original
        assert torch.equal(layer.weight, fake_quantise(original, 1, channel_axis=axis))
        for channel in layer.weight.unbind(axis):
            assert len(channel.unique()) == 2


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_relus_are_replaced_shared_ones_by_one(activation):
    net = quantise(block(), None, 2, activation)
    kind = type(ACTIVATIONS[activation](2))
    assert type(net.relu) is kind
    assert net.relu.bits == 2
    calibrate(net, IMAGES)
    net(IMAGES).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    other = nn.Sequential(shared := nn.ReLU(), nn.Sequential(shared, nn.ReLU6()), nn.Linear(2, 2))
    quantise(other, None, 2, activation)
    assert other[0] is other[1][0] is not other[1][1]
    assert type(other[1][1]) is kind


def test_the_way_back_gives_the_same_objects_keys_order_and_outputs():
    net = block().eval()
    state = copy.deepcopy(net.state_dict())
    modules, parameters = list(net.modules()), list(net.parameters())
    logits = net(IMAGES)
    quantise(net)
    assert not torch.equal(net(IMAGES), logits)
    assert unquantise(net) is net
    assert list(net.state_dict()) == list(state)
    assert same(net.state_dict(), state)
    assert all(a is b for a, b in zip(net.modules(), modules, strict=True))
    assert all(a is b for a, b in zip(net.parameters(), parameters, strict=True))
    assert [type(m) for m in net.modules()] == [type(m) for m in block().modules()]
    assert torch.equal(net(IMAGES), logits)
    assert not net.relu.training
    quantise(net, 4, 4)  # and again


def test_a_copy_is_independent_also_on_the_way_back():
    net = quantise(block()).eval()
    calibrate(net, IMAGES)
    other = copy.deepcopy(net)
    logits = net(IMAGES)
    assert torch.equal(other(IMAGES), logits)
    with torch.no_grad():
        other.relu.upper.mul_(0.5)
        other.head.parametrizations.weight.original.zero_()
    assert torch.equal(net(IMAGES), logits)
    unquantise(other)
    assert torch.equal(net(IMAGES), logits)
    assert torch.equal(net.head.weight, fake_quantise(block().head.weight, 4))
    assert isinstance(other.relu, nn.ReLU)
    unquantise(net)
    assert type(net.conv) is nn.Conv2d


def test_an_activation_of_the_models_own_stays_on_the_way_back():
    own = DTReLU(3)
    net = unquantise(quantise(nn.Sequential(nn.Linear(2, 2), own, nn.ReLU())))
    assert net[1] is own
    assert type(net[2]) is nn.ReLU


def test_weights_are_saved_and_loaded_into_a_freshly_quantised_model(tmp_path):
    net = quantise(block(), 3, 2, "ddtrelu").eval()
    calibrate(net, IMAGES)
    path = save_weights(net, tmp_path / "net.safetensors")
    other = quantise(block(seed=1), 3, 2, "ddtrelu").eval()
    load_weights(other, path)
    assert same(net.state_dict(), other.state_dict())
    assert torch.equal(net(IMAGES), other(IMAGES))


@pytest.mark.parametrize("activation", ["dtrelu", "ddtrelu", "naive", "piecewise-linear"])
def test_it_is_trained_by_the_loop(activation, tmp_path):
    def recipe(epochs=3):
        return Recipe(epochs=epochs, batch_size=64, optimiser=Optimiser(learning_rate=0.05))

    net = quantise(conv(norm=True), activation=activation)
    calibrate(net, digits().images(torch.arange(128)))
    before = [p.detach().clone() for p in net[2].parameters()]
    result = train(net, digits(), recipe(), out=tmp_path)
    assert result.metrics[-1]["accuracy"] > 0.85
    moved = zip(before, net[2].parameters(), strict=True)
    assert all(not torch.equal(a, b) for a, b in moved)
    assert all(p.isfinite().all() for p in net.parameters())
    again = quantise(conv(norm=True), activation=activation)
    load_weights(again, tmp_path / "model.safetensors")
    assert torch.equal(
        again.eval()(digits().images(torch.arange(9))), net(digits().images(torch.arange(9)))
    )


def test_training_in_bfloat16_is_finite():
    recipe = Recipe(epochs=2, autocast="bf16", optimiser=Optimiser(learning_rate=0.05))
    net = quantise(conv(norm=True))
    first, second = train(net, digits(limit=512), recipe).metrics
    assert second["loss"] < first["loss"]


@pytest.mark.parametrize(
    "spec",
    mostly_slow(
        ["timm:resnet18", "timm:densenet121", "torchvision:resnet18"], quick=["timm:resnet18"]
    ),
)
def test_library_models(spec):
    net = build_model(spec, classes=4, shape=(3, 32, 32)).eval()
    images = torch.rand(2, 3, 32, 32)
    keys, relus = list(net.state_dict()), sum(isinstance(m, nn.ReLU) for m in net.modules())
    state = copy.deepcopy(net.state_dict())
    quantise(net, 4, 4)
    assert not any(isinstance(m, nn.ReLU) for m in net.modules())
    calibrate(net, images)
    layers = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert all(len(layer.weight.unique()) <= 16 for layer in layers)
    bounds = [m.upper.item() for m in net.modules() if isinstance(m, DTReLU)]
    assert len(bounds) == relus
    assert 6.0 not in bounds  # each was fitted to its own input
    assert net(images).isfinite().all()
    unquantise(net)
    assert list(net.state_dict()) == keys
    assert same(net.state_dict(), state)


def test_tied_weights_stay_tied():
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    net[2].weight = net[0].weight
    quantise(net)
    assert len(list(net.parameters())) == 3 + 2
    unquantise(net)
    assert net[2].weight is net[0].weight


def test_device_and_dtype_are_those_of_the_model():
    net = quantise(block().double())
    assert {p.dtype for p in net.parameters()} == {torch.float64}
    assert net(IMAGES.double()).dtype == torch.float64
    half = quantise(block().bfloat16())
    calibrate(half, IMAGES)
    assert half(IMAGES.bfloat16()).dtype == torch.bfloat16


def weight_normed():
    return nn.Sequential(torch.nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)), nn.ReLU())


@pytest.mark.parametrize(
    ("net", "options", "message"),
    [
        (lambda: quantise(block()), {}, "quantised already; use unquantise"),
        (lambda: quantise(block(), None, 4), {"activation_bits": None}, "quantised already"),
        (block, {"weight_bits": 0}, "weight_bits is 0"),
        (block, {"activation_bits": 17}, "activation_bits is 17"),
        (block, {"activation": "dtrelo"}, "did you mean 'dtrelu'"),
        (block, {"gradient": "lsk"}, 'gradient is "lsk"'),
        (block, {"weight_bits": None, "activation_bits": None}, "both None"),
        (weight_normed, {}, "layer '0' is parametrised already"),
        (lambda: nn.Sequential(nn.LazyLinear(2), nn.ReLU()), {}, "has no shape yet"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Tanh()), {}, "nothing to quantise"),
        (lambda: nn.Linear(2, 2), {"weight_bits": None}, "no nn.ReLU module"),
    ],
)
def test_refusals_leave_the_model_alone(net, options, message):
    net = net()
    before = [type(m) for m in net.modules()]
    with pytest.raises(InputError, match=message):
        quantise(net, **options)
    assert [type(m) for m in net.modules()] == before


def test_a_missing_part_is_said_and_there_must_be_something_to_undo():
    with pytest.warns(UserWarning, match="no nn.ReLU module"):
        quantise(nn.Linear(2, 2))
    with pytest.warns(UserWarning, match="no convolution or linear layer"):
        quantise(nn.Sequential(nn.ReLU()))
    with pytest.raises(InputError, match="nothing to undo"):
        unquantise(block())
