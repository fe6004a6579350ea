"""Attacks on the transformers: in the guard, by every kernel, compiled."""

from __future__ import annotations

import contextlib

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from saddlepoint.attacks import APGD, PGD
from saddlepoint.model.guard import Guard
from saddlepoint.threat import Linf
from saddlepoint.zoo import build_model, record_attention

NAMES = ("vit-micro", "swin-micro")
EPS = 8 / 255


def subject(name, count=8, **options):
    """A network with random weights of some size, images, and what it says of them."""
    net = build_model(name, classes=5, shape=(3, 16, 16), options=options).eval()
    with torch.no_grad():
        for each in net.parameters():
            if each.ndim == 2:
                each.mul_(3)
        images = torch.rand(count, 3, 16, 16)
        net.head.bias -= net(images).mean(0)  # so that the classes differ
        labels = net(images).argmax(1)
    return net, images, labels


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("attack", [PGD(Linf(EPS), steps=10), APGD(Linf(EPS), steps=10)])
def test_attacks_fool_them_within_the_budget_and_leave_them_as_they_were(name, attack):
    net, images, labels = subject(name)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    net.train()
    found = attack(net, images, labels)
    assert int(found.success.sum()) >= 4
    assert float((found.adversarials - images).abs().max()) <= EPS * (1 + 1e-6)
    with torch.no_grad():
        fooled = net.eval()(found.adversarials).argmax(1) != labels
    assert torch.equal(fooled, found.success)
    assert all(each.requires_grad for each in net.parameters())
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


@pytest.mark.parametrize("name", NAMES)
def test_math_and_fused_kernels_take_the_same_decisions(name):
    net, images, labels = subject(name)
    attack = PGD(Linf(EPS / 4), steps=5)
    fused = attack(net, images, labels)
    with sdpa_kernel(SDPBackend.MATH):
        exact = attack(net, images, labels)
        logits = net(fused.adversarials)
    torch.testing.assert_close(net(fused.adversarials), logits, rtol=0, atol=1e-5)
    kept = logits.gather(1, labels[:, None])[:, 0]
    margin = kept - logits.scatter(1, labels[:, None], -torch.inf).amax(1)
    clear = margin.abs() > 1e-4
    assert int(clear.sum()) >= 6
    assert torch.equal(fused.success[clear], exact.success[clear])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compiled_they_are_attacked_as_they_are(name, backend):
    torch.compiler.reset()
    small = {"depth": 2} if name == "vit-micro" else {"depths": (2,), "heads": (3,)}
    net, images, labels = subject(name, **small)
    attack = PGD(Linf(EPS), steps=3)
    plain = attack(net, images, labels)
    compiled = attack(torch.compile(net, backend=backend), images, labels)
    assert torch.equal(plain.success, compiled.success)
    assert bool(plain.success.any())
    apart = (compiled.adversarials - plain.adversarials).abs() > 1e-5
    # The sign of a derivative that is nearly zero may differ.
    assert float(apart.double().mean()) < 0.01


@pytest.mark.parametrize(
    ("name", "options"),
    [("vit-micro", {}), ("vit-micro", {"positions": "relative"}), ("swin-micro", {})],
)
@pytest.mark.parametrize("recorded", [False, True])
def test_they_run_in_bfloat16_and_in_float64(name, options, recorded):
    net, images, labels = subject(name, **options)
    exact = net(images).detach()
    with contextlib.ExitStack() as stack:
        if recorded:
            stack.enter_context(record_attention(net))
        with Guard(net, 8, autocast="bf16") as guard:
            logits, gradient = guard.gradient(images, lambda z: z.gather(1, labels[:, None])[:, 0])
        assert bool(gradient.isfinite().all())
        torch.testing.assert_close(logits, exact, rtol=0.1, atol=0.2 * float(exact.std()))
        doubled = net.double()(images.double()).detach()
    torch.testing.assert_close(doubled.float(), exact, rtol=1e-4, atol=1e-5)


def test_the_curvature_along_the_gradient_is_that_of_differences():
    net, images, labels = subject("vit-micro", 2)
    net = net.double()
    x = images.double().requires_grad_()

    def gradient(at, graph):
        loss = nn.functional.cross_entropy(net(at), labels, reduction="sum")
        return torch.autograd.grad(loss, at, create_graph=graph)[0]

    with sdpa_kernel(SDPBackend.MATH):
        first = gradient(x, graph=True)
        v = torch.randn_like(x)
        (product,) = torch.autograd.grad((first * v).sum(), x)
        h = 1e-5
        ahead, behind = ((x + s * v).detach().requires_grad_() for s in (h, -h))
        expected = (gradient(ahead, graph=False) - gradient(behind, graph=False)) / (2 * h)
    torch.testing.assert_close(product, expected, rtol=1e-4, atol=1e-6)
