"""Skip-gradient: an attack by the gradient of shortcuts, on the model itself and on a surrogate."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from saddlepoint.attacks import BIM, DDN, PGD, Restarted, SkipGradient, Transfer, wrapped
from saddlepoint.errors import InputError
from saddlepoint.threat import L2, Linf
from saddlepoint.zoo import ResNetCifar, build_model, skip_gradient

IMAGES = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def network(seed, **options):
    net = build_model("resnet20", classes=4, shape=(3, 8, 8), seed=seed, options=options)
    with torch.no_grad():
        net.train()(IMAGES.float())  # statistics of images
    return net.double().eval()


def by_hand(net, images, labels, eps, steps, gamma):
    """BIM in Linf on the surrogate, its gradient by the chain rule block by block."""
    x = images.clone()
    blocks = [*net.stage1, *net.stage2, *net.stage3]
    for _ in range(steps):
        z = [net.relu(net.norm(net.conv(x)))]
        for block in blocks:
            z.append(block(z[-1]))

        def head(u):
            logits = net.logits(net.pool(u).flatten(1))
            others = logits.scatter(1, labels[:, None], -torch.inf)
            own = logits.gather(1, labels[:, None])[:, 0]
            return (others.amax(1) - own).sum()

        g = torch.autograd.functional.vjp(head, z[-1])[1]
        for block, u in zip(reversed(blocks), reversed(z[:-1]), strict=True):
            branch = lambda v, b=block: b.norm2(b.conv2(b.relu1(b.norm1(b.conv1(v)))))  # noqa: E731
            through = g * (branch(u) + block.shortcut(u) > 0)
            by_branch = torch.autograd.functional.vjp(branch, u, through)[1]
            by_shortcut = torch.autograd.functional.vjp(block.shortcut, u, through)[1]
            g = gamma * by_branch + by_shortcut
        stem = lambda v: net.relu(net.norm(net.conv(v)))  # noqa: E731
        gradient = torch.autograd.functional.vjp(stem, x, g)[1]
        x = (x + eps / steps * gradient.sign()).clamp(images - eps, images + eps).clamp(0, 1)
    return x


@pytest.mark.parametrize("gamma", [0.3, 1.0])
@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_what_is_transferred_is_what_the_chain_rule_gives(gamma, shortcut):
    surrogate, model = network(0, shortcut=shortcut), network(1)
    labels = surrogate(IMAGES).argmax(1)
    attack = SkipGradient(BIM(Linf(0.05), steps=3, loss="margin", stop="never", keep="last"), gamma)
    found = Transfer(attack, surrogate)(model, IMAGES, model(IMAGES).argmax(1))
    same = model(IMAGES).argmax(1) == labels
    direct = attack(surrogate, IMAGES, labels)
    expected = by_hand(surrogate, IMAGES, labels, 0.05, 3, gamma)
    assert torch.allclose(direct.adversarials, expected, atol=1e-9)
    right = same & ~found.initially_wrong
    assert torch.allclose(found.adversarials[right], expected[right], atol=1e-9)
    assert not bool(found.backwards.any())


def test_a_gamma_of_one_is_the_attack_and_a_smaller_one_another():
    net = network(0)
    labels = net(IMAGES).argmax(1)
    for attack in (PGD(Linf(0.02), steps=4, stop="never"), DDN(L2(), steps=5, bisections=2)):
        plain = attack(net, IMAGES, labels)
        one = SkipGradient(attack, 1.0)(net, IMAGES, labels)
        half = SkipGradient(attack, 0.2)(net, IMAGES, labels)
        assert torch.equal(one.adversarials, plain.adversarials)
        assert not torch.equal(half.adversarials, plain.adversarials)
        assert torch.equal(one.forwards, plain.forwards)
    assert not any(part._forward_hooks for part in net.modules())


def test_the_model_comes_out_as_it_went_in_after_an_error_too():
    net = network(0)
    with pytest.raises(ZeroDivisionError), skip_gradient(net, 0.5):
        raise ZeroDivisionError
    assert not any(part._forward_hooks for part in net.modules())


def test_other_libraries_and_named_branches():
    timm = pytest.importorskip("timm")
    net = timm.create_model("resnet18", num_classes=4).eval()
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.ones_(part.weight)  # timm's branches begin as zero
    images = IMAGES.float().repeat_interleave(4, 2).repeat_interleave(4, 3)
    labels = net(images).argmax(1)
    attack = BIM(Linf(0.01), steps=2, stop="never", keep="last")
    known = SkipGradient(attack, 0.5)(net, images, labels)
    named = SkipGradient(attack, 0.5, branches=("layer?.?.bn2",))(net, images, labels)
    assert torch.equal(known.adversarials, named.adversarials)
    assert not torch.equal(known.adversarials, attack(net, images, labels).adversarials)


def test_what_is_refused():
    plain = ResNetCifar(20, classes=4, shortcut="none").double().eval()
    labels = plain(IMAGES).argmax(1)
    with pytest.raises(InputError, match="no residual block that is known here"):
        SkipGradient(PGD(Linf(0.1)), 0.5)(plain, IMAGES, labels)
    for gamma in (0.0, 1.5, -1):
        with pytest.raises(InputError, match="gamma is"):
            SkipGradient(PGD(Linf(0.1)), gamma)
    with pytest.raises(InputError, match="put skip-gradient inside of it first"):
        SkipGradient(Transfer(PGD(Linf(0.1)), plain), 0.5)
    with pytest.raises(InputError, match="put skip-gradient inside of it first"):
        SkipGradient(Restarted(Transfer(PGD(Linf(0.1)), plain), 2), 0.5)
    with pytest.raises(InputError, match="leave compile out"):
        SkipGradient(PGD(Linf(0.1), compile=True), 0.5)
    inside = wrapped(PGD(Linf(0.1)), ["skip-gradient=0.5", "transfer=w"], lambda _: plain)
    assert isinstance(inside, Transfer)
    assert inside.attack.gamma == 0.5
    with pytest.raises(InputError, match=r"skip-gradient around PGD: .*gamma"):
        wrapped(PGD(Linf(0.1)), ["skip-gradient=2"])
