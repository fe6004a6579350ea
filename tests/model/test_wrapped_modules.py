"""DataParallel and torch.compile around a network, or around a part of it, change no result."""

from __future__ import annotations

import json

import pytest
import torch
from networks import conv_case, conv_net
from torch import nn

from saddlepoint.attacks import BPDA, PGD, Fast, StraightThrough
from saddlepoint.errors import InputError
from saddlepoint.evaluation import Diagnosis, evaluate
from saddlepoint.model import Guard, Normalised, ReadOutput, bare, hidden_gradients, plain_modules
from saddlepoint.model.wrapped import plain_name, plain_state
from saddlepoint.threat import Linf
from saddlepoint.zoo import load_weights, read_state, save_weights, weights_fingerprint

_, IMAGES, LABELS = conv_case(8)
CHANNELS = IMAGES.shape[1]


class Rounded(nn.Module):
    def forward(self, x):
        return (x * 8).round() / 8


def rounding():
    return nn.Sequential(Rounded(), conv_net())


def normalised(net):
    return Normalised(net, (0.4,) * CHANNELS, (0.3,) * CHANNELS)


def compiled(net):
    torch.compiler.reset()
    return torch.compile(net, backend="aot_eager")


AROUND = {
    "data parallel": nn.DataParallel,
    "compiled": compiled,
    "compiled, parallel": lambda net: nn.DataParallel(compiled(net)),
    "parallel, compiled": lambda net: compiled(nn.DataParallel(net)),
}
INSIDE = {
    "nothing": lambda net: net,
    "normalised": normalised,
    "first of two": lambda net: nn.Sequential(net, nn.Identity()),
}


@pytest.mark.parametrize("inside", INSIDE)
@pytest.mark.parametrize("around", AROUND)
def test_the_fingerprint_and_the_names_are_those_of_the_bare_network(around, inside):
    plain = INSIDE[inside](conv_net())
    wrapped = INSIDE[inside](AROUND[around](conv_net()))
    assert weights_fingerprint(wrapped) == weights_fingerprint(plain)
    assert weights_fingerprint(AROUND[around](plain)) == weights_fingerprint(plain)
    assert list(plain_state(wrapped)) == list(plain.state_dict())
    assert plain_modules(wrapped).keys() == plain_modules(plain).keys()


def test_the_fingerprint_still_tells_networks_outputs_and_names_apart():
    net = conv_net()
    other = conv_net()
    with torch.no_grad():
        other[0].weight[0, 0, 0, 0] += 1
    assert weights_fingerprint(nn.DataParallel(net)) != weights_fingerprint(nn.DataParallel(other))
    read = [weights_fingerprint(nn.DataParallel(ReadOutput(net, name))) for name in ("a", "b")]
    assert read[0] != read[1]
    assert read[0] == weights_fingerprint(ReadOutput(net, "a"))


class OwnPart(nn.Module):
    """Not a wrapper, though its part has the name that DataParallel gives to what it wraps."""

    def __init__(self) -> None:
        super().__init__()
        self.module = nn.Linear(2, 2)


def test_a_part_called_module_is_no_wrapper():
    net = OwnPart()
    assert bare(net) is net
    assert plain_name(net)("module.weight") == "module.weight"
    assert list(plain_state(nn.DataParallel(net))) == ["module.weight", "module.bias"]


@pytest.mark.parametrize("around", AROUND)
def test_weights_are_saved_under_their_own_names_and_loaded_behind_any_wrapper(around, tmp_path):
    source = normalised(AROUND[around](conv_net()))
    path = save_weights(source, tmp_path / "a.safetensors")
    plain = normalised(conv_net())
    assert set(read_state(path)) == set(plain.state_dict())
    targets = (
        plain,
        normalised(AROUND[around](conv_net())),
        AROUND[around](normalised(conv_net())),
    )
    for target in targets:
        with torch.no_grad():
            next(target.parameters()).add_(1)
        report = load_weights(target, path)
        assert report.renamed == ()
        assert report.normalisation == "file"
        assert weights_fingerprint(target) == weights_fingerprint(source)


@pytest.mark.parametrize("around", AROUND)
def test_attacks_and_guarded_passes_find_the_same(around):
    wrapped, plain = AROUND[around](conv_net()), conv_net()
    before = weights_fingerprint(wrapped)
    with Guard(wrapped, len(IMAGES)) as guard, Guard(plain, len(IMAGES)) as own:
        for each in (lambda z: z[:, 0], lambda z: z.square().sum(1)):
            logits, gradient = guard.gradient(IMAGES, each)
            right, slope = own.gradient(IMAGES, each)
            assert torch.allclose(logits, right, atol=1e-6)
            assert torch.allclose(gradient, slope, atol=1e-6)
        assert guard.forwards.tolist() == own.forwards.tolist()
    for attack in (PGD(Linf(0.05), steps=3), Fast(Linf(0.05))):
        seen, right = attack(wrapped, IMAGES, LABELS), attack(plain, IMAGES, LABELS)
        assert torch.equal(seen.success, right.success)
        assert torch.allclose(seen.adversarials, right.adversarials, atol=1e-5)
    assert weights_fingerprint(wrapped) == before


@pytest.mark.parametrize("around", AROUND)
def test_a_layer_that_hides_the_gradient_is_found_and_replaced_by_its_own_name(around):
    wrapped = AROUND[around](rounding())
    assert hidden_gradients(wrapped, IMAGES) == ("0",)
    assert hidden_gradients(nn.Sequential(wrapped), IMAGES)[-1:] == ("0.0",)
    inner = PGD(Linf(0.05), steps=3)
    for attack in (BPDA(inner, modules=("0",)), StraightThrough(inner)):
        seen, right = attack(wrapped, IMAGES, LABELS), attack(rounding(), IMAGES, LABELS)
        assert right.success.any()
        assert torch.equal(seen.success, right.success)
    with pytest.raises(InputError, match="unknown module of the model '7'"):
        BPDA(inner, modules=("7",))(wrapped, IMAGES, LABELS)


def test_the_name_behind_the_wrapper_is_taken_too():
    attack = BPDA(PGD(Linf(0.05), steps=3), modules=("module.0",))
    assert attack(nn.DataParallel(rounding()), IMAGES, LABELS).success.any()


def record(model, out, **options):
    evaluate(model, (IMAGES, LABELS), "Linf", eps=[0.05], suite="quick", out=out, **options)
    found = json.loads((out / "evaluation.json").read_text())
    # A graph of torch.compile is gone back through once: a Jacobian takes passes of its own.
    found["verdict"].pop("passes")
    return {key: value for key, value in found.items() if key != "seconds"}


@pytest.mark.filterwarnings("ignore:the gradient was exactly 0")
@pytest.mark.parametrize("around", ["data parallel", "compiled"])
def test_an_evaluation_is_the_same_record(around, tmp_path):
    wrapped = record(AROUND[around](rounding()), tmp_path / "a", diagnosis=Diagnosis(bpda=("0",)))
    plain = record(rounding(), tmp_path / "b", diagnosis=Diagnosis(bpda=("0",)))
    assert wrapped == plain


def test_an_evaluation_goes_on_where_one_of_the_bare_network_stopped(tmp_path):
    plain = record(conv_net(), tmp_path)
    assert record(nn.DataParallel(conv_net()), tmp_path) == plain
