"""The attacks against loops of ten lines, written from the papers: the same iterates."""

from __future__ import annotations

import math

import pytest
import torch
from networks import conv_case
from torch.nn.functional import cross_entropy

from saddlepoint.attacks import BIM, FGSM, MIFGSM, PGD, nine_defences_pgd
from saddlepoint.streams import Keys
from saddlepoint.threat import L2, Linf, Rescaled

N = 16
KEYS = Keys(5, torch.arange(N))


def gradient(net, x, y):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(cross_entropy(net(x), y, reduction="sum"), x)[0]


def size(x):
    return x.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)


def final(attack, net, x, y):
    """The last iterate of the attack, and that its judged result is the same."""
    result = attack(net, x, y, seed=5)
    candidates = attack.candidates(net, x, y, seed=5)
    right = ~result.initially_wrong
    assert torch.allclose(result.adversarials[right], candidates[right], rtol=0, atol=1e-12)
    return candidates


def case():
    net, x, y = conv_case(N, torch.float64)
    return net, x, y


LAST = {"keep": "last", "stop": "never", "loss": "softmax-cross-entropy"}


@pytest.mark.parametrize("steps", range(1, 7))
def test_pgd_in_linf(steps):
    net, x, y = case()
    eps, alpha = 0.03, 0.01
    z = Linf(eps).random_start(x, KEYS)
    for _ in range(steps):
        z = z + alpha * gradient(net, z, y).sign()
        z = torch.max(torch.min(z, x + eps), x - eps).clamp(0, 1)
    ours = final(PGD(Linf(eps), steps=steps, step_size=alpha, **LAST), net, x, y)
    assert torch.allclose(ours, z, rtol=0, atol=1e-12)


@pytest.mark.parametrize("steps", range(1, 7))
def test_pgd_in_l2(steps):
    net, x, y = case()
    x = 0.3 + 0.4 * x  # so far from the bounds that the ball alone counts
    eps, alpha = 0.2, 0.07
    z = L2(eps).random_start(x, KEYS)
    for _ in range(steps):
        g = gradient(net, z, y)
        z = z + alpha * g / size(g)
        z = x + (z - x) * (eps / size(z - x)).clamp_max(1)
    ours = final(PGD(L2(eps), steps=steps, step_size=alpha, **LAST), net, x, y)
    assert torch.allclose(ours, z, rtol=0, atol=1e-9 if steps > 4 else 1e-12)


@pytest.mark.parametrize("steps", range(1, 7))
@pytest.mark.parametrize("decay", [0.0, 0.9, 1.0])
def test_mi_fgsm(steps, decay):
    net, x, y = case()
    eps = 0.03
    z, g = x, torch.zeros_like(x)
    for _ in range(steps):
        step = gradient(net, z, y)
        g = decay * g + step / step.abs().sum((1, 2, 3), keepdim=True)
        z = z + eps / steps * g.sign()
        z = torch.max(torch.min(z, x + eps), x - eps).clamp(0, 1)
    ours = final(MIFGSM(Linf(eps), steps=steps, decay=decay, **LAST), net, x, y)
    assert torch.allclose(ours, z, rtol=0, atol=1e-12)


def test_bim_and_fgsm():
    net, x, y = case()
    z = x
    for _ in range(4):
        z = (z + 0.005 * gradient(net, z, y).sign()).clamp(0, 1)
    ours = final(BIM(Linf(0.02), steps=4, **LAST), net, x, y)
    assert torch.allclose(ours, z, rtol=0, atol=1e-12)
    z = (x + 0.02 * gradient(net, x, y).sign()).clamp(0, 1)
    assert torch.allclose(final(FGSM(Linf(0.02), **LAST), net, x, y), z, rtol=0, atol=1e-12)


def test_a_targeted_attack_descends_the_targets_loss():
    net, x, y = case()
    targets = (y + 2) % 5
    z = x
    for _ in range(4):
        z = (z - 0.005 * gradient(net, z, targets).sign()).clamp(0, 1)
    ours = BIM(Linf(0.02), steps=4, **LAST).candidates(net, x, y, targets)
    assert torch.allclose(ours, z, rtol=0, atol=1e-12)


@pytest.mark.parametrize("clip", [math.inf, 2.0])
@pytest.mark.parametrize("steps", range(1, 5))
def test_the_reports_algorithm_1(steps, clip):
    """Normalised images; x⁰ = x + eps·N(0, 1), then sign steps, clipped to the ball (and ±2)."""
    net, x, y = case()
    x = x.round(decimals=1)  # some pixels are exactly 0 or 1
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    m, s = (torch.tensor(v, dtype=torch.float64).reshape(3, 1, 1) for v in (mean, std))
    eps, alpha = 8 / 255, 2 / 255
    clean = (x - m) / s
    z = clean + eps * KEYS.normal(x.shape[1:]).double()
    for _ in range(steps):
        g = gradient(lambda v: net(v * s + m), z, y)
        z = z + alpha * g.sign()
        z = torch.max(torch.min(z, clean + eps), clean - eps).clamp(-clip, clip)
    threat = Rescaled(Linf(eps, -clip, clip), mean, std)
    ours = final(nine_defences_pgd(threat, steps=steps), net, x, y)
    assert torch.allclose(ours, z * s + m, rtol=0, atol=1e-12)
