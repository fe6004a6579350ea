"""What counts as fooled: ties, top k, one logit, targets."""

from __future__ import annotations

import pytest
import torch
from networks import Affine, conv_case
from torch import nn

from saddlepoint.attacks import (
    BIM,
    FGSM,
    PGD,
    BinaryLogit,
    Criterion,
    Misclassified,
    OutsideTopK,
    Targeted,
)
from saddlepoint.errors import InputError
from saddlepoint.threat import Linf

LOGITS = torch.tensor([[3.0, 2.0, 1.0, 0.0], [1.0, 1.0, 0.0, 0.0], [0.0, 5.0, 5.0, 5.0]])


@pytest.mark.parametrize(
    ("criterion", "labels", "margins"),
    [
        (Misclassified(), [0, 1, 0], [1, 0, -5]),
        (Targeted(), [0, 1, 0], [-1, 0, 5]),
        (Targeted(), [2, 0, 3], [2, 0, 0]),
        (OutsideTopK(1), [0, 1, 0], [1, 0, -5]),
        (OutsideTopK(2), [0, 1, 0], [2, 1, -5]),
        (OutsideTopK(3), [3, 1, 0], [-1, 1, -5]),
    ],
)
def test_margins_are_negative_exactly_where_fooled(criterion, labels, margins):
    assert isinstance(criterion, Criterion)
    margin = criterion.margin(LOGITS, torch.tensor(labels))
    assert margin.tolist() == pytest.approx(margins, abs=1e-30)
    if isinstance(criterion, Misclassified | Targeted):
        hit = LOGITS.argmax(1) == torch.tensor(labels)
        assert torch.equal(margin < 0, hit if isinstance(criterion, Targeted) else ~hit)


@pytest.mark.parametrize("criterion", [Misclassified(), OutsideTopK(2), Targeted()])
def test_the_cross_entropy_is_the_usual_one(criterion):
    labels = torch.tensor([0, 2, 3])
    usual = nn.functional.cross_entropy(LOGITS, labels, reduction="none")
    sign = -1 if isinstance(criterion, Targeted) else 1
    assert torch.allclose(criterion.cross_entropy(LOGITS, labels), sign * usual)


def test_the_cross_entropy_has_the_usual_gradient_where_that_one_has_digits():
    logits = torch.randn(50, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    logits.requires_grad_()
    labels = torch.arange(50) % 7
    ours, usual = (
        torch.autograd.grad(loss.sum(), logits)[0]
        for loss in (
            Misclassified().cross_entropy(logits, labels),
            nn.functional.cross_entropy(logits, labels, reduction="none"),
        )
    )
    assert torch.allclose(ours, usual, rtol=1e-12, atol=1e-15)


def test_the_binary_loss_is_the_logistic_one():
    z, labels = torch.tensor([[2.0], [-1.0]]), torch.tensor([1, 1])
    usual = nn.functional.binary_cross_entropy_with_logits(
        z[:, 0], labels.float(), reduction="none"
    )
    assert torch.allclose(BinaryLogit().cross_entropy(z, labels), usual)


@pytest.mark.parametrize("attack", [FGSM, BIM, PGD])
def test_a_binary_model_is_fooled_either_way(attack):
    net = nn.Linear(2, 1)
    net.weight.data, net.bias.data = torch.tensor([[2.0, -1.0]]), torch.tensor([-0.5])
    images = torch.tensor([[0.6, 0.5], [0.4, 0.5], [0.9, 0.1], [0.5, 0.5]])  # z = .2, −.2, 1.2, 0
    labels = torch.tensor([1, 0, 1, 1])  # of the last z > 0 does not hold
    result = attack(Linf(0.1), criterion=BinaryLogit())(net, images, labels)
    assert result.success.tolist() == [True, True, False, True]
    assert result.predictions.tolist() == [0, 1, 1, 0]
    assert result.initially_wrong.tolist() == [False] * 3 + [True]


def test_outside_the_top_k_needs_k_classes_to_pass():
    """Logits 0.9, 0.6 + x, 0.5 + x: a step of 0.35 takes one class past the label, 0.45 both."""
    net = Affine(torch.tensor([[0.0], [1.0], [1.0]]), torch.tensor([0.9, 0.6, 0.5]))
    image, label = torch.zeros(1, 1), torch.tensor([0])
    for eps, first, second in ((0.2, False, False), (0.35, True, False), (0.45, True, True)):
        for k, expected in ((1, first), (2, second)):
            result = PGD(Linf(eps), criterion=OutsideTopK(k))(net, image, label)
            assert bool(result.success) == expected


def test_the_top_k_must_leave_a_class_outside():
    net, images, labels = conv_case(4)
    with pytest.raises(InputError, match="5 classes: every label is among the top 5"):
        PGD(Linf(0.1), criterion=OutsideTopK(5))(net, images, labels)
    with pytest.raises(InputError, match="k is 0"):
        OutsideTopK(0)


def test_a_targeted_success_is_the_target_and_nothing_else():
    net, images, labels = conv_case(64, wrong=0)
    targets = (labels + 1 + torch.arange(64) % 4) % 5
    result = PGD(Linf(0.03), steps=20)(net, images, labels, targets)
    with torch.no_grad():
        predictions = net(result.adversarials).argmax(1)
    assert torch.equal(result.success, predictions == targets)
    assert torch.equal(result.predictions, predictions)
    assert 5 < int(result.success.sum()) < 60
    other = (predictions != labels) & (predictions != targets)
    assert int(other.sum()) > 0, "another wrong class is reached, and is not counted"


@pytest.mark.parametrize("loss", ["cross-entropy", "margin"])
def test_a_targeted_attack_serves_its_target(loss):
    """Two ways out: the nearer class is not the target."""
    net = Affine(torch.tensor([[0.0], [3.0], [-2.0]]), torch.tensor([0.3, -1.5, 1.0]))
    image, label = torch.tensor([[0.5]]), torch.tensor([0])
    attack = PGD(Linf(0.25), steps=10, loss=loss, start="clean")
    for target, position in ((1, 0.75), (2, 0.25)):
        result = attack(net, image, label, torch.tensor([target]))
        assert bool(result.success)
        assert (float(result.adversarials) - 0.5) * (position - 0.5) > 0
        assert int(result.predictions) == target
