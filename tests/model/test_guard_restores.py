"""A model comes out of the guard as it went in: flags, gradients, buffers, random state."""

from __future__ import annotations

import contextlib
from functools import partial

import pytest
import torch
from networks import Noise, conv_case, conv_net
from torch import nn

from saddlepoint.attacks import BIM, FGSM, MIFGSM, PGD, UniformNoise
from saddlepoint.model import Guard, Normalised
from saddlepoint.threat import Linf

ATTACKS = [FGSM, BIM, MIFGSM, PGD, UniformNoise]


def state(model: nn.Module) -> dict[str, object]:
    return {
        "flags": {name: m.training for name, m in model.named_modules()},
        "grads": {name: (p.requires_grad, id(p.grad)) for name, p in model.named_parameters()},
        "values": {name: v.clone() for name, v in model.state_dict().items()},
        "random": torch.random.get_rng_state(),
    }


def assert_same(before: dict, after: dict) -> None:
    assert before["flags"] == after["flags"]
    assert before["grads"] == after["grads"]
    assert torch.equal(before["random"], after["random"])
    for name, value in before["values"].items():
        assert torch.equal(value, after["values"][name]), name


def right_case(count: int = 4):
    """Images that `mixed_model` gets right, so that an attack has work to do."""
    images = torch.rand(count, 3, 8, 8)
    return images, mixed_model().eval()(images).argmax(1)


def mixed_model() -> nn.Module:
    """Training mode with one frozen BatchNorm, one frozen weight, and a gradient in place."""
    net = Normalised(nn.Sequential(conv_net(), nn.Dropout(0.5)), (0.5,) * 3, (0.25,) * 3)
    net.train()
    net.net[0][1].eval()
    net.net[0][0].weight.requires_grad_(False)
    net.net[0][8].weight.grad = torch.ones_like(net.net[0][8].weight)
    return net


class Broken(nn.Module):
    def __init__(self, net: nn.Module, calls: int) -> None:
        super().__init__()
        self.net, self.calls = net, calls

    def forward(self, x):
        self.calls -= 1
        if self.calls == 0:
            raise MemoryError("out of everything")
        return self.net(x)


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_leaves_no_trace(attack):
    net = mixed_model()
    images, labels = right_case()
    before = state(net)
    attack(Linf(0.05))(net, images, labels)
    assert_same(before, state(net))


@pytest.mark.parametrize("calls", [1, 2, 5])
@pytest.mark.parametrize("mode", ["eval", "train"])
def test_an_exception_leaves_no_trace(calls, mode):
    images, labels = right_case()
    net = Broken(mixed_model(), calls)
    before = state(net)
    attack = PGD(Linf(1e-6), steps=10, stop="never")
    run = attack if mode == "eval" else partial(attack.candidates, mode="train")
    with pytest.raises(MemoryError):
        run(net, images, labels)
    assert_same(before, state(net))


def test_train_mode_sees_batch_statistics_and_keeps_the_running_ones():
    net = conv_net().train()
    seen = []
    net[1].register_forward_hook(lambda m, *_: seen.append((m.training, m.running_mean.clone())))
    before = state(net)
    images, labels = torch.rand(16, 3, 8, 8), torch.randint(5, (16,))
    before["random"] = torch.random.get_rng_state()
    PGD(Linf(0.05), steps=3).candidates(net, images, labels, mode="train")
    assert all(training for training, _ in seen)
    assert not torch.equal(seen[0][1], seen[-1][1]), "the statistics did move inside"
    assert_same(before, state(net))


def test_in_a_call_everything_is_in_evaluation_mode_and_frozen():
    net = mixed_model()
    seen = []

    def look(*_):
        seen.append(
            [m.training for m in net.modules()] + [p.requires_grad for p in net.parameters()]
        )

    net.net[0][3].register_forward_hook(look)
    images, labels = right_case()
    PGD(Linf(0.05), steps=3, stop="never")(net, images, labels)
    assert len(seen) == 6
    assert not any(any(flags) for flags in seen)


@pytest.mark.parametrize("seeds", [(0, 0), (0, 1)])
def test_a_foreign_random_model_draws_from_its_own_generator(seeds):
    """Dropout that is always on moves no global state, and repeats itself with the seed."""

    class AlwaysDropout(nn.Module):
        def forward(self, x):
            return nn.functional.dropout(x, 0.3, training=True)

    net = nn.Sequential(AlwaysDropout(), conv_net())
    images, labels = torch.rand(8, 3, 8, 8), torch.randint(5, (8,))
    results = []
    for seed in seeds:
        torch.manual_seed(len(results))
        before = torch.random.get_rng_state()
        results.append(PGD(Linf(0.05), steps=5, stop="never")(net, images, labels, seed=seed))
        assert torch.equal(before, torch.random.get_rng_state())
    same = torch.equal(results[0].adversarials, results[1].adversarials)
    assert same == (seeds[0] == seeds[1])


def test_random_layers_give_their_streams_back():
    layer = Noise(0.1)
    net = nn.Sequential(layer, conv_net())
    PGD(Linf(0.05), steps=2)(net, torch.rand(2, 3, 8, 8), torch.zeros(2, dtype=torch.int64))
    assert layer.keys is None
    assert not torch.equal(net(torch.zeros(1, 3, 8, 8)), net(torch.zeros(1, 3, 8, 8)))


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, contextlib.nullcontext])
@pytest.mark.parametrize("attack", ATTACKS)
def test_the_users_gradient_mode_does_not_matter(attack, context):
    net, images, labels = conv_case(16)
    expected = attack(Linf(0.05))(net, images, labels)
    with context():
        arguments = (images.clone(), labels.clone())
        extra = {"ids": torch.arange(16), "eps": torch.full((16,), 0.05, dtype=torch.float64)}
        result = attack(Linf(0.05))(net, *arguments, **extra)
        candidates = attack(Linf(0.05)).candidates(net, *arguments)
    assert torch.equal(result.adversarials, expected.adversarials)
    assert torch.equal(result.success, expected.success)
    assert not candidates.requires_grad
    assert net[0].weight.requires_grad


def test_inputs_that_carry_a_graph_stay_out_of_it():
    net, images, labels = conv_case(8)
    images.requires_grad_()
    starts = (images * 1.0).clamp(0, 1)
    result = PGD(Linf(0.05))(net, images, labels, starts=starts)
    assert images.grad is None
    assert not result.adversarials.requires_grad


def test_only_a_module_can_be_guarded():
    with pytest.raises(ValueError, match=r"the model is a function; give a torch\.nn\.Module"):
        Guard(lambda x: x, 1)  # type: ignore[arg-type]


def test_a_model_that_drops_its_gradients_gets_them_back():
    class Careless(nn.Linear):
        def forward(self, x):
            self.weight.grad = None
            return super().forward(x)

    net = Careless(4, 3)
    net.weight.grad = torch.ones(3, 4)
    images = torch.rand(4, 4)
    before = state(net)
    PGD(Linf(0.05))(net, images, torch.zeros(4, dtype=torch.int64))
    assert_same(before, state(net))
