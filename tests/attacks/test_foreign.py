"""Attacks of other libraries are guarded, counted and judged like our own."""

from __future__ import annotations

import pytest
import torch
from networks import conv_case
from torch import nn

from saddlepoint.attacks import PGD, foreign
from saddlepoint.errors import InputError
from saddlepoint.threat import L2, Linf


def one_step(model, images, labels, targets=None, size=0.05):
    x = images.clone().requires_grad_()
    goal = labels if targets is None else targets
    loss = nn.functional.cross_entropy(model(x), goal)
    (gradient,) = torch.autograd.grad(loss, x)
    sign = 1 if targets is None else -1
    return (images + sign * size * gradient.sign()).clamp(0, 1).detach()


def test_a_function_is_run_once_counted_and_judged():
    net, images, labels = conv_case(32)
    result = foreign(one_step, Linf(0.05))(net, images, labels)
    assert result.success_rate > 0.2
    attacked = ~result.initially_wrong
    assert result.forwards[attacked].tolist() == [4] * 29, "clean, the attack, a look, the judge"
    assert result.backwards[attacked].tolist() == [1] * 29
    assert not bool(result.rejected.any())


def test_targets_and_options_are_passed_on():
    net, images, labels = conv_case(32)
    targets = (labels + 1) % 5
    result = foreign(one_step, Linf(0.2), size=0.2)(net, images, labels, targets)
    assert result.success_rate > 0
    assert bool((result.predictions[result.success] == targets[result.success]).all())


def test_what_leaves_the_budget_is_no_success():
    net, images, labels = conv_case(32)
    honest = foreign(one_step, Linf(0.05))(net, images, labels)
    result = foreign(one_step, Linf(0.03), size=0.05)(net, images, labels)
    assert honest.success_rate > 0
    assert bool(result.rejected[~result.initially_wrong].all())
    assert result.success_rate == 0


def test_without_a_budget_the_distance_is_reported():
    net, images, labels = conv_case(32)
    result = foreign(one_step, L2())(net, images, labels)
    assert result.success_rate > 0.2
    assert bool(result.distance[~result.success].isinf().all())
    kept = result.success & ~result.initially_wrong
    expected = (result.adversarials - images).double().flatten(1).norm(dim=1)
    assert torch.allclose(result.distance[kept], expected[kept], rtol=1e-6)


def test_a_rude_attack_leaves_the_model_as_it_was():
    net, images, labels = conv_case(8)
    net.train()

    def rude(model, images, labels):
        model.train()
        model.zero_grad()
        nn.functional.cross_entropy(model(images.requires_grad_()), labels).backward()
        return images.detach().add_(0.01).clamp_(0, 1)

    before = [p.clone() for p in net.parameters()]
    original = images.clone()
    foreign(rude, Linf(0.05))(net, images, labels)
    assert net.training
    assert all(p.grad is None and p.requires_grad for p in net.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    assert torch.equal(images, original)


@pytest.mark.parametrize(
    ("attack", "word"),
    [
        (lambda m, x, y: None, "returned NoneType"),
        (lambda m, x, y: x[:1], "returned"),
        (3, "is no attack"),
        (PGD, "is a class"),
    ],
)
def test_what_is_no_attack_is_refused(attack, word):
    net, images, labels = conv_case(8)
    with pytest.raises(InputError, match=word):
        foreign(attack, Linf(0.1))(net, images, labels)


def test_targets_for_an_attack_without_any_are_refused():
    net, images, labels = conv_case(8)
    attack = foreign(lambda model, images, labels: images, Linf(0.1))
    with pytest.raises(InputError, match="neither targeted= nor targets="):
        attack(net, images, labels, (labels + 1) % 5)


def test_torchattacks():
    torchattacks = pytest.importorskip("torchattacks", reason="torchattacks is not installed")
    net, images, labels = conv_case(24)
    elsewhere = nn.Flatten()
    attack = torchattacks.PGD(elsewhere, eps=0.05, alpha=0.01, steps=10)
    result = foreign(attack, Linf(0.05))(net, images, labels)
    assert result.success_rate > 0.5
    assert int(result.backwards.sum()) == 10 * 21
    assert attack.model is elsewhere
    targets = (labels + 1) % 5
    targeted = foreign(attack, Linf(0.05))(net, images, labels, targets)
    assert bool((targeted.predictions[targeted.success] == targets[targeted.success]).all())


def test_foolbox():
    foolbox = pytest.importorskip("foolbox", reason="foolbox is not installed")
    net, images, labels = conv_case(24)
    bounded = foreign(foolbox.attacks.LinfPGD(steps=10), Linf(0.05))(net, images, labels)
    assert bounded.success_rate > 0.3
    assert not bool(bounded.rejected.any())
    nearest = foreign(foolbox.attacks.L2DeepFoolAttack(), L2())(net, images, labels)
    assert nearest.success_rate > 0.9


def test_art():
    evasion = pytest.importorskip("art.attacks.evasion", reason="ART is not installed")
    from art.estimators.classification import PyTorchClassifier

    net, images, labels = conv_case(24)
    estimator = PyTorchClassifier(
        model=nn.Flatten(), loss=nn.CrossEntropyLoss(), input_shape=(3, 8, 8), nb_classes=192
    )
    attack = evasion.FastGradientMethod(estimator, eps=0.05)
    assert foreign(attack, Linf(0.05))(net, images, labels).success_rate > 0.5
    assert attack.estimator is estimator
