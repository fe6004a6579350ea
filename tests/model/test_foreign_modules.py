"""Modules of every kind are attacked like the plain network, or refused in one line."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from networks import conv_case, conv_net
from torch import nn
from torch.utils.checkpoint import checkpoint

from saddlepoint.attacks import FAB, JSMA, PGD, DeepFool, UniformNoise, foreign
from saddlepoint.errors import InputError
from saddlepoint.model import Guard
from saddlepoint.model.isolation import recurrent
from saddlepoint.threat import L0, L2, Linf
from saddlepoint.zoo import weights_fingerprint

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*deprecated", "ignore:Lazy modules", "ignore:quantized::linear_dynamic",
    "ignore:None of the inputs have requires_grad",
)  # fmt: skip

_, IMAGES, LABELS = conv_case(8)


class Around(nn.Module):
    def __init__(self, function, net=None) -> None:
        super().__init__()
        self.net, self.function = net or conv_net(), function

    def forward(self, x):
        return self.function(self.net, x)


def sign_step(model, images, labels):
    images.requires_grad_()
    loss = nn.functional.cross_entropy(model(images), labels)
    return (images + 0.05 * torch.autograd.grad(loss, images)[0].sign()).detach().clamp(0, 1)


ATTACKS = {
    "noise": UniformNoise(Linf(0.1), draws=5),
    "pgd": PGD(Linf(0.05), steps=3),
    "deepfool": DeepFool(L2(), steps=3),
    "fab": FAB(L2(), steps=2),
    "jsma": JSMA(L0()),
    "foreign": foreign(sign_step, Linf(0.06)),
}


def exported():
    axes = {"input": {0: torch.export.Dim.AUTO}}
    return torch.export.export(conv_net(), (IMAGES,), dynamic_shapes=axes).module()


def exported_for(count):
    return torch.export.export(conv_net(), (IMAGES[:1].expand(count, -1, -1, -1),)).module()


def own_gradient_of_weights(net, x):
    with torch.enable_grad():
        weight = net[8].weight.detach().clone().requires_grad_()
        nn.functional.linear(torch.ones(1, weight.shape[1]), weight).sum().backward()
    return net(x + 0 * weight.grad.sum())


def in_inference_mode():
    with torch.inference_mode():
        return conv_net()


def own_gradient(leaf):
    def run(net, x):
        with torch.enable_grad():
            z = x.requires_grad_() if leaf else x.detach().requires_grad_()
            net(z).sum().backward()
            slope = z.grad.detach()
        return net(x + 0 * slope)

    return run


def hooked():
    net = conv_net()
    net.register_full_backward_hook(lambda *_: None)
    net.register_forward_hook(lambda module, inputs, output: output.mul_(1.0))
    return net


LIKE_ANY_OTHER = {
    "scripted": lambda: torch.jit.script(conv_net()),
    "traced": lambda: torch.jit.trace(conv_net(), IMAGES),
    "frozen": lambda: torch.jit.freeze(torch.jit.script(conv_net())),
    "exported": exported,
    "exported for fewer": lambda: exported_for(3),
    "exported for more": lambda: nn.Sequential(nn.Identity(), exported_for(11)),
    "compiled": lambda: torch.compile(conv_net(), backend="aot_eager"),
    "made in inference mode": in_inference_mode,
    "reentrant checkpoints": lambda: Around(
        lambda net, x: net[3:](checkpoint(net[:3], x, use_reentrant=True))
    ),
    "data parallel": lambda: nn.DataParallel(conv_net()),
    "hooked": hooked,
    "takes its own gradient": lambda: Around(own_gradient(leaf=False)),
    "takes it at its input": lambda: Around(own_gradient(leaf=True)),
    "takes a gradient of clones": lambda: Around(own_gradient_of_weights),
    "double": lambda: conv_net(torch.float64),
}


@pytest.mark.parametrize("attack", ["noise", "pgd", "fab", "jsma", "foreign"])
@pytest.mark.parametrize("kind", LIKE_ANY_OTHER)
def test_it_is_attacked_like_the_plain_network(kind, attack):
    if (kind, attack) == ("reentrant checkpoints", "foreign"):
        pytest.skip("such a model cannot be differentiated as this foreign attack does it")
    model = LIKE_ANY_OTHER[kind]()
    seen = ATTACKS[attack](model, IMAGES, LABELS)
    right = ATTACKS[attack](conv_net(), IMAGES, LABELS)
    assert torch.equal(seen.success, right.success)
    assert torch.allclose(seen.adversarials, right.adversarials, atol=1e-5)


@pytest.mark.parametrize("attack", ["pgd", "foreign"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_attacked_too(dtype, attack):
    result = ATTACKS[attack](conv_net(dtype), IMAGES, LABELS)
    assert result.adversarials.dtype == torch.float32
    assert result.success_rate >= 0.6


def dynamic_int8():
    # It sets up an engine of its own; the weights are packed.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(conv_net(), {nn.Linear})


NO_GRADIENT = {
    "dynamic int8": dynamic_int8,
    "detached": lambda: Around(lambda net, x: net(x).detach()),
    "beside": lambda: Around(lambda net, x: torch.zeros(5, requires_grad=True) + net(x).detach()),
    "no_grad": lambda: Around(torch.no_grad()(lambda net, x: net(x))),
    "inference mode": lambda: Around(torch.inference_mode()(lambda net, x: net(x))),
}


@pytest.mark.parametrize("attack", ["pgd", "deepfool", "fab", "jsma", "foreign"])
@pytest.mark.parametrize("kind", NO_GRADIENT)
def test_without_a_gradient_there_is_one_line(kind, attack):
    with pytest.raises(InputError, match=r"use a gradient-free attack|foreign attack failed") as e:
        ATTACKS[attack](NO_GRADIENT[kind](), IMAGES, LABELS)
    assert "\n" not in str(e.value)
    assert len(ATTACKS["noise"](NO_GRADIENT[kind](), IMAGES, LABELS)) == 8


@pytest.mark.parametrize("attack", ["deepfool", "fab", "jsma"])
def test_a_class_that_is_detached_does_not_stop_the_others(attack):
    model = Around(lambda net, x: torch.cat([net(x)[:, :1].detach(), net(x)[:, 1:]], 1))
    assert ATTACKS[attack](model, IMAGES, LABELS).success_rate > 0.5


class Unwilling(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        raise ValueError("no way back")


REFUSED = {
    "weight is on the meta device, without values": lambda: conv_net().to("meta"),
    "takes its shape from the first image; run the model once": lambda: nn.Sequential(
        nn.Flatten(), nn.LazyLinear(5)
    ),
    "cannot be differentiated at images of shape .*: ValueError: no way back": lambda: Around(
        lambda net, x: net(Unwilling.apply(x))
    ),
}


class ForgetsSizes(nn.Module):
    """A module exported for three images whose graph does not say so."""

    def __init__(self) -> None:
        super().__init__()
        self.net = exported_for(3)
        for node in self.net.graph.nodes:
            node.meta.clear()

    def forward(self, x):
        return self.net(x)


def own_gradient_of_frozen_weights(net, x):
    with torch.enable_grad():
        net[8].weight.square().sum().backward()
    return net(x)


REFUSED |= {
    "exported for batches of 3 images; export it with a dynamic first axis": ForgetsSizes,
    r"its parameters are frozen:\ntake it of clones, .* under torch.enable_grad": lambda: Around(
        own_gradient_of_frozen_weights
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_attacked_is_refused(message):
    with pytest.raises(InputError, match=message):
        ATTACKS["pgd"](REFUSED[message](), IMAGES, LABELS)


@pytest.mark.parametrize("images", [IMAGES.to("meta"), IMAGES.to_sparse()], ids=["meta", "sparse"])
def test_images_without_values_are_refused(images):
    with pytest.raises(InputError, match=r"images are .*; give a dense tensor with values"):
        ATTACKS["pgd"](conv_net(), images, LABELS)


def test_inference_tensors_come_out_as_they_went_in():
    model = in_inference_mode()
    model.add_module("shared", model[4])
    before = {name: id(p) for name, p in (*model.named_parameters(), *model.named_buffers())}
    ATTACKS["pgd"](nn.Sequential(*model[:9]), IMAGES, LABELS)
    assert before == {n: id(p) for n, p in (*model.named_parameters(), *model.named_buffers())}
    with torch.inference_mode():
        rnn = nn.LSTM(3, 4, batch_first=True)
    recurrent = Around(lambda net, x: net(x.flatten(2).transpose(1, 2))[0][:, -1], rnn)
    ATTACKS["pgd"](recurrent, IMAGES, LABELS % 4)
    assert all(each.is_inference() for each in rnn._flat_weights)


class Merging(nn.Module):
    """Adds its branch to the weights in evaluation mode, as adapters do."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.merged = conv_net(), False

    def train(self, mode=True):
        if mode == self.merged:
            self.net[8].weight.data.mul_(0.5 if mode else 2)
        self.merged = not mode
        return super().train(mode)

    def forward(self, x):
        return self.net(x) * (1 if self.merged else 2)


def test_what_a_models_own_eval_does_is_undone():
    model = Merging().train()
    model.net[1].eval()
    before, weight = copy.deepcopy(model), model.net[8].weight.clone()
    ATTACKS["pgd"](model, IMAGES, LABELS)
    assert (model.training, model.merged, model.net[1].training) == (True, False, False)
    assert torch.equal(model.net[8].weight, weight)
    assert {n: m.training for n, m in model.named_modules()} == {
        n: m.training for n, m in before.named_modules()
    }


def test_weights_that_no_state_dict_names_are_told_apart():
    def prints(build):
        return [weights_fingerprint(build(seed)) for seed in (0, 0, 1)]

    frozen = prints(lambda seed: torch.jit.freeze(torch.jit.script(conv_net(seed=seed))))
    packed = prints(
        lambda seed: torch.ao.quantization.quantize_dynamic(conv_net(seed=seed), {nn.Linear})
    )
    for first, again, other in (frozen, packed):
        assert first == again != other


class Rows(nn.Module):
    """Reads an image row by row."""

    def __init__(self, kind) -> None:
        super().__init__()
        self.rnn = kind(24, 5, batch_first=True)

    def forward(self, x):
        return self.rnn(x.transpose(1, 2).flatten(2))[0][:, -1]


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize("scripted", [False, True])
def test_recurrent_layers_are_kept_off_cudnn_where_a_gradient_is_taken(kind, scripted):
    """cuDNN has no backward of them in evaluation mode; its flag is all that can be seen here."""
    enabled = []

    def run(net, x):
        enabled.append(torch.backends.cudnn.enabled)
        return net(x)

    model = Around(run, torch.jit.script(Rows(kind)) if scripted else Rows(kind))
    with Guard(model, 8) as guard:
        guard.logits(IMAGES)
        guard.gradient(IMAGES, lambda z: z[:, 0])
        guard.jacobian(IMAGES, lambda z: torch.eye(5).expand(len(z), 5, 5))
    assert enabled == [True, False, False]
    assert torch.backends.cudnn.enabled
    assert not recurrent(conv_net())


def test_a_compiled_model_is_run_once_for_each_product():
    def weights(logits):
        return torch.eye(5).expand(len(logits), 5, 5)

    found = []
    for model in (conv_net(), torch.compile(conv_net(), backend="aot_eager")):
        with Guard(model, 8) as guard:
            found.append((*guard.jacobian(IMAGES, weights), guard.forwards, guard.backwards))
    (_, right, once, five), (_, seen, forwards, backwards) = found
    assert torch.allclose(seen, right, atol=1e-6)
    assert (once == 1).all()
    assert (five == 5).all()
    assert torch.equal(backwards, five)
    assert (forwards == 5).all()


def test_what_fills_a_batch_up_reaches_no_gradient():
    with Guard(exported_for(5), 8) as guard:
        logits, gradient = guard.gradient(IMAGES, lambda z: z[:, 0])
        assert (guard.forwards == 1).all()
        assert guard.logits(IMAGES[:0], torch.arange(0)).shape == (0, 5)
    with Guard(conv_net(), 8) as guard:
        right = guard.gradient(IMAGES, lambda z: z[:, 0])
    assert torch.allclose(logits, right[0], atol=1e-6)
    assert torch.allclose(gradient, right[1], atol=1e-6)
