"""Other libraries' calls, with our attacks behind them."""

from __future__ import annotations

import pytest
import torch
from networks import conv_case

from saddlepoint.attacks import PGD
from saddlepoint.errors import InputError
from saddlepoint.evaluation import AutoAttack, TorchattacksStyle
from saddlepoint.threat import Linf


def test_an_attack_is_called_with_images_and_labels():
    net, images, labels = conv_case(24)
    atk = TorchattacksStyle(PGD(Linf(0.05), steps=10), net)
    found = atk(images, labels)
    assert torch.equal(found, PGD(Linf(0.05), steps=10)(net, images, labels).adversarials)
    assert (net(found).argmax(1) != labels).float().mean() > 0.8


def test_labels_may_be_targets():
    net, images, labels = conv_case(24)
    targets = (labels + 1) % 5
    atk = TorchattacksStyle(PGD(Linf(0.3), steps=30), net)
    atk.set_mode_targeted_by_label()
    reached = net(atk(images, targets)).argmax(1) == targets
    assert reached.float().mean() > 0.8
    atk.set_mode_targeted_by_function(lambda images, labels: (labels + 1) % 5)
    assert torch.equal(net(atk(images, labels)).argmax(1) == targets, reached)
    atk.set_mode_default()
    assert (net(atk(images, labels)).argmax(1) != labels).float().mean() > 0.9


def test_autoattack_keeps_what_each_attack_fooled():
    net, images, labels = conv_case(40)
    lines = []
    judge = AutoAttack(net, norm="Linf", eps=0.02, version="quick", verbose=True, log=lines.append)
    found, predicted = judge.run_standard_evaluation(images, labels, bs=16, return_labels=True)
    with torch.no_grad():
        assert torch.equal(net(found).argmax(1), predicted)
    assert float((found - images).abs().max()) <= 0.02 + 1e-6
    fooled = predicted != labels
    each = judge.run_standard_evaluation_individual(images, labels, bs=16)
    assert list(each) == judge.attacks_to_run
    with torch.no_grad():
        any_ = torch.stack([net(x).argmax(1) != labels for x in each.values()]).any(0)
    assert torch.equal(fooled, any_)
    assert 0 < int(fooled.sum()) < 40
    assert lines[-1].endswith(f"{100 * float((~fooled).double().mean()):.2f} %")


@pytest.mark.parametrize(
    ("build", "word"),
    [
        (lambda net: AutoAttack(net, norm="L3"), "unknown norm"),
        (lambda net: AutoAttack(net, version="plus"), "unknown suite"),
        (lambda net: AutoAttack(net, eps=-1), "positive"),
    ],
)
def test_what_makes_no_sense_is_refused(build, word):
    with pytest.raises(InputError, match=word):
        build(torch.nn.Flatten())
