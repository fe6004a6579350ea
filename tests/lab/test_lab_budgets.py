"""Accuracy against eps, and the controls."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from lab_cases import bench, subject
from networks import Affine
from small import digits
from torch import nn

from saddlepoint.defences import TrainingBatch
from saddlepoint.errors import InputError
from saddlepoint.lab import BudgetSettings, ControlSettings, accuracy_against_eps, run_controls
from saddlepoint.lab.networks import (
    RBF,
    EachClass,
    HiddenAdversarial,
    OneVersusAll,
    Perceptron,
    class_means,
)


def test_the_curves_of_a_linear_model_are_the_closed_form():
    w = torch.tensor([3.0, -4.0])
    # The distance of x to the boundary is w·x / ‖w‖₁ in Linf and w·x / ‖w‖₂ in L2.
    x = torch.stack([torch.tensor([0.5, 0.5]) + s * w / 25 for s in (0.62, 1.1, 1.6, -0.1)])
    y = torch.zeros(4).long()
    score = x @ w
    settings = BudgetSettings(linf=(0.01, 0.05, 0.1, 0.15), l2=(0.02, 0.1, 0.18, 0.25), steps=40)
    found = accuracy_against_eps(Affine(w), x, y, settings)
    for name, budgets, dual in (("Linf", settings.linf, 7.0), ("L2", settings.l2, 5.0)):
        expected = [float((score > eps * dual).double().mean()) for eps in budgets]
        assert found.attacks[name].accuracy() == expected
        assert found.attacks[name].clean == float((score > 0).double().mean())
    smallest = found.attacks["Linf"].smallest
    assert smallest[3] == 0  # wrong before
    for distance, eps in zip(score / 7, smallest, strict=True):
        assert eps == min([e for e in settings.linf if e > distance], default=math.inf) or eps == 0


def test_curves_never_rise_and_each_attack_is_best_in_its_own_norm():
    net, x, y = subject(24)
    settings = BudgetSettings(linf=(0.3, 0.05, 0.15), l2=(0.3, 0.8, 1.6), steps=8)
    assert settings.linf == (0.05, 0.15, 0.3)
    found = accuracy_against_eps(net, x, y, settings)
    for attack in found.attacks:
        for measure in found.attacks:
            eps, accuracy = found.curve(attack, measure)
            assert eps == sorted(eps)
            assert all(a >= b for a, b in itertools.pairwise(accuracy))
    for measure in found.attacks:
        own = found.curve(measure, measure)[1]
        (other,) = [name for name in found.attacks if name != measure]
        assert sum(own) <= sum(found.curve(other, measure)[1])
    assert found.curve("Linf", "Linf")[1][-1] < found.curve("Linf", "Linf")[1][0]


def test_an_attack_s_images_measured_in_its_own_norm_are_within_its_budgets():
    net, x, y = subject(20)
    found = accuracy_against_eps(net, x, y, BudgetSettings(linf=(0.1, 0.3), l2=(1.0,), steps=10))
    linf = found.attacks["Linf"]
    fooled = linf.smallest.isfinite()
    assert (linf.linf[fooled] <= linf.smallest[fooled] * (1 + 1e-5)).all()
    for eps, accuracy in zip(linf.eps, linf.accuracy(), strict=True):
        assert linf.within("Linf", eps) <= accuracy


def test_hidden_perturbation_is_the_worst_corner_of_a_linear_readout():
    net = Perceptron(3, 4, 2, nn.Sigmoid(), seed=0).double()  # of two classes: exact
    x, y = torch.rand(2, 3, dtype=torch.float64), torch.tensor([0, 1])
    batch = TrainingBatch(x, y, torch.arange(2), seed=0)
    found = HiddenAdversarial(0.3).accumulate(net, batch).loss
    signs = torch.cartesian_prod(*[torch.tensor([-0.3, 0.3], dtype=torch.float64)] * 4)
    worst = []
    with torch.no_grad():
        for h, label in zip(net.hidden(x), y, strict=True):
            all_losses = nn.functional.cross_entropy(
                net.readout(h + signs), label.expand(16), reduction="none"
            )
            worst.append(all_losses.max())
    assert float(found) == pytest.approx(float(torch.stack(worst).mean()), rel=1e-9)


def test_each_class_is_the_sum_of_binary_log_losses():
    net = OneVersusAll(3, 4).double()
    with torch.no_grad():
        net.weight.copy_(torch.arange(12.0).reshape(4, 3) / 10)
    x, y = torch.rand(5, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0])
    found = EachClass().accumulate(net, TrainingBatch(x, y, torch.arange(5), seed=0)).loss
    scores = x @ net.weight.T + net.bias
    own = nn.functional.one_hot(y, 4).double()
    expected = nn.functional.binary_cross_entropy_with_logits(scores, own, reduction="sum") / 5
    assert float(found) == pytest.approx(float(expected.detach()), rel=1e-9)


def test_an_rbf_is_sure_at_its_centre_and_nowhere_far():
    net = RBF(torch.tensor([[0.2, 0.2], [0.8, 0.8]]), 10.0)
    logs = net(torch.tensor([[0.2, 0.2], [5.0, 5.0]])).detach()
    assert float(logs[0, 0]) == 0.0
    assert float(logs[0, 1]) == pytest.approx(-10 * 2 * 0.36, rel=1e-5)
    assert float(logs[1].exp().max()) < 1e-6


def test_class_means_are_means():
    data = digits("train", 60)
    means = class_means(data)
    for label in range(10):
        expected = data.pixels[data.labels == label].flatten(1).mean(0)
        torch.testing.assert_close(means[label], expected)


def test_the_controls_find_noise_harmless_and_the_gradient_not():
    found = run_controls(bench(60, epochs=2), ControlSettings(eps=0.2, members=2))
    assert {m.control for m in found.measured} == {"noise", "rbf", "ensemble", "hidden"}
    errors = {(m.model, m.attack): m.error for m in found.of("noise")}
    assert errors["standard", "uniform noise"] < errors["standard", "FGSM"]
    assert errors["standard", "random signs"] < errors["standard", "FGSM"]
    assert all(0 <= m.error <= 1 for m in found.measured)
    for m in found.measured:
        assert math.isnan(m.confidence) == (m.error == 0)
    shallow = {(m.model[:3], m.attack): m for m in found.of("rbf")}
    assert shallow["RBF", "FGSM"].error > shallow["RBF", "none"].error
    assert len(found.mean_hidden) == 6


@pytest.mark.parametrize(
    "settings",
    [
        lambda: BudgetSettings(linf=()),
        lambda: BudgetSettings(l2=(0.1, 0.0)),
        lambda: ControlSettings(members=0),
        lambda: ControlSettings(hidden_eps=-1),
    ],
)
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(InputError, match="give"):
        settings()
