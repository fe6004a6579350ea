"""Random self-ensemble: noise only where stated, the average by hand, and its files and copies."""

from __future__ import annotations

import copy
import functools
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import same
from torch import nn
from torch.nn.utils import parametrize

from saddlepoint.defences.self_ensemble import (
    GaussianNoise,
    RandomSelfEnsemble,
    random_self_ensemble,
    remove_self_ensemble,
)
from saddlepoint.errors import InputError
from saddlepoint.model import Guard, Normalised, is_random
from saddlepoint.streams import Keys
from saddlepoint.zoo import build_model, load_weights, save_weights

IMAGES = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def network(seed=0):
    """A small CNN for digits, its statistics not the first ones, with normalisation."""
    net = build_model("simple-cnn", classes=10, shape=(1, 8, 8), seed=seed)
    for step in range(10):
        net.train()(torch.randn(32, 1, 8, 8, generator=torch.Generator().manual_seed(step)))
    return Normalised(net, mean=(0.3,), std=(0.4,)).eval()


def inputs_and_outputs(model, images):
    """What every module of a model got and gave, by name, in its first call of one pass."""
    seen = {}

    def keep(name, module, inputs, output):
        seen.setdefault(name, (inputs[0].detach(), output.detach()))

    handles = [
        module.register_forward_hook(functools.partial(keep, name))
        for name, module in model.named_modules()
        if not isinstance(module, RandomSelfEnsemble | GaussianNoise)
    ]
    call(model, images)
    for handle in handles:
        handle.remove()
    return seen


def call(model, images):
    """The logits of one call, with the keyed noise of a first pass."""
    with Guard(model, len(images)) as guard:
        return guard.logits(images, None, Keys(0, torch.arange(len(images))))


@pytest.mark.parametrize(("first", "inner"), [(0.2, 0.1), (0.3, 0.0), (0.0, 0.2)])
def test_noise_goes_before_each_block_and_nowhere_else(first, inner):
    images = torch.rand(400, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    model = random_self_ensemble(network(), first, inner, samples=1)
    seen = inputs_and_outputs(model, images)
    assert set(model.sigmas) == {f"net.blocks.block{i}" for i in (1, 2, 3)}
    before = {"net.net.blocks.block1": (images - 0.3) / 0.4}  # behind the normalisation
    before |= {f"net.net.blocks.block{i + 1}": seen[f"net.net.blocks.block{i}"][1] for i in (1, 2)}
    for name, clean in before.items():
        sigma = first if name.endswith("1") else inner
        noise = seen[name][0] - clean
        if sigma:
            assert float(noise.std()) == pytest.approx(sigma, rel=0.03)
            assert float(noise.mean()) == pytest.approx(0, abs=0.01)
        else:
            assert torch.equal(seen[name][0], clean)
        assert torch.equal(seen[f"{name}.conv"][0], seen[name][0])
    # Every module is what it was: its output is that of its input.
    for name, (given_, gave) in seen.items():
        if name not in ("net", "net.net", "net.net.blocks"):  # these have noise inside
            torch.testing.assert_close(model.get_submodule(name)(given_), gave, msg=name)


def test_without_a_conv_block_noise_goes_before_every_convolution():
    timm = build_model("timm:resnet10t", classes=4, shape=(3, 32, 32))
    model = random_self_ensemble(timm, 0.2, 0.1, samples=2).eval()
    convolutions = [n for n, m in timm.named_modules() if isinstance(m, nn.Conv2d)]
    assert list(model.sigmas) == convolutions
    assert list(model.sigmas.values()) == [0.2] + [0.1] * (len(convolutions) - 1)
    x = torch.rand(2, 3, 32, 32, requires_grad=True)
    first = model(x)
    assert first.shape == (2, 4)
    assert not torch.equal(first, model(x))
    assert bool((torch.autograd.grad(first.sum(), x)[0] != 0).any())
    assert torch.equal(timm(x), timm(x)), "called directly, the network has no noise"


def test_modules_are_named_by_patterns_the_outermost_counts():
    model = random_self_ensemble(network(), before=["net.blocks.block[13]*"])
    assert model.sigmas == {"net.blocks.block1": 0.2, "net.blocks.block3": 0.1}
    model = random_self_ensemble(network(), before="*.linear1")
    assert model.sigmas == {"net.head.linear1": 0.2}


@given(st.integers(1, 5))
def test_without_deviation_it_is_exactly_the_model(samples):
    net = network()
    model = random_self_ensemble(net, 0.0, 0.0, samples)
    assert torch.equal(model(IMAGES), net(IMAGES))
    assert not is_random(model)
    assert model.averaged_passes == 1


@pytest.mark.parametrize("average", ["logits", "probabilities"])
def test_evaluation_is_the_mean_by_hand_over_the_same_noise(average):
    net = network().double()
    model = random_self_ensemble(net, 0.3, 0.2, samples=4, average=average)
    noise = []
    handles = [
        layer.register_forward_hook(lambda m, i, o: noise.append(o - i[0])) for layer in model.noise
    ]
    averaged = call(model, IMAGES.double())
    for handle in handles:
        handle.remove()
    assert len(noise) == 4 * 3
    assert all(not torch.equal(noise[0], other) for other in noise[3::3])
    passes = []
    for k in range(4):
        x = (IMAGES.double() - net.mean) / net.std
        for block, each in zip(net.net.blocks, noise[3 * k :], strict=False):
            x = block(x + each)
        passes.append(net.net.head(x))
    passes = torch.stack(passes)
    by_hand = passes.mean(0) if average == "logits" else passes.softmax(2).mean(0).log()
    torch.testing.assert_close(averaged, by_hand, rtol=1e-9, atol=1e-12)


def test_training_is_a_single_pass_and_evaluation_several():
    model, calls = random_self_ensemble(network(), samples=7), []
    model.net.register_forward_hook(lambda *_: calls.append(1))
    model.train()(IMAGES)
    assert len(calls) == 1
    model.eval()(IMAGES)
    assert len(calls) == 1 + 7


def test_weights_go_to_a_file_and_into_a_new_one(tmp_path: Path):
    model = random_self_ensemble(network(), 0.2, 0.1, 3)
    assert list(model.state_dict()) == [f"net.{key}" for key in network().state_dict()]
    path = save_weights(model, tmp_path / "weights.safetensors")
    other = random_self_ensemble(network(seed=1), 0.2, 0.1, 3)
    load_weights(other, path)
    assert same(model.state_dict(), other.state_dict())
    assert torch.equal(call(other, IMAGES), call(model, IMAGES))
    plain = network(seed=2)
    load_weights(plain, path)
    assert torch.equal(plain(IMAGES), model.net(IMAGES))


def test_copies_are_independent_and_keep_their_noise():
    model = random_self_ensemble(network(), samples=2)
    expected = call(model, IMAGES)
    twin = copy.deepcopy(model)
    model.net.net.blocks.block1.conv.weight.data.zero_()
    model.noise[0].sigma = 9.0
    assert torch.equal(call(twin, IMAGES), expected)
    loud, quiet = (random_self_ensemble(twin.net, sigma, sigma, 1) for sigma in (0.5, 0.0))
    assert torch.equal(quiet(IMAGES), twin.net(IMAGES))  # two over one network do not disturb it
    assert not torch.equal(loud(IMAGES), twin.net(IMAGES))


class Halves(nn.Module):
    """A stand-in for quantised weights: a parametrisation that rounds."""

    def forward(self, weight):
        return weight + ((2 * weight).round() / 2 - weight).detach()


def test_it_goes_with_parametrised_weights_put_on_before_or_after():
    before, after = network(), network()
    parametrize.register_parametrization(before.net.blocks.block2.conv, "weight", Halves())
    first, second = random_self_ensemble(before), random_self_ensemble(after)
    parametrize.register_parametrization(after.net.blocks.block2.conv, "weight", Halves())
    assert torch.equal(call(first, IMAGES), call(second, IMAGES))
    assert not torch.equal(call(first, IMAGES), call(random_self_ensemble(network()), IMAGES))


def test_it_can_be_removed_wherever_it_is():
    net = network()
    plain = net(IMAGES)
    assert remove_self_ensemble(random_self_ensemble(net)) is net
    inside = nn.Sequential(nn.Identity(), random_self_ensemble(net))
    assert is_random(inside)
    assert remove_self_ensemble(inside) is inside
    assert not is_random(inside)
    assert torch.equal(inside(IMAGES), plain)
    assert remove_self_ensemble(net) is net


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sigma_first": -0.1}, "sigma_first is -0.1"),
        ({"sigma_inner": float("nan")}, "sigma_inner is nan"),
        ({"sigma_inner": float("inf")}, "sigma_inner is inf"),
        ({"sigma_first": "0.2"}, "sigma_first is '0.2'"),
        ({"samples": 0}, "samples is 0"),
        ({"samples": 2.5}, "samples is 2.5"),
        ({"average": "mean"}, 'average is "mean"'),
        ({"before": "blok*"}, "no module of the model is named 'blok\\*'"),
        ({"before": []}, "before is empty"),
    ],
)
def test_bad_settings_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        random_self_ensemble(network(), **arguments)


def test_models_that_cannot_take_noise_are_refused():
    with pytest.raises(InputError, match=r"no nn\.Conv2d"):
        random_self_ensemble(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)))
    with pytest.raises(InputError, match="already"):
        random_self_ensemble(nn.Sequential(random_self_ensemble(network())))
    with pytest.raises(InputError, match="the model is a function"):
        random_self_ensemble(network)
