"""Fast finds what AutoAttack's attacks find, and keeps to its passes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from networks import conv_case
from sampled import mostly_slow

from saddlepoint.attacks import Batch, Fast, Misclassified, OutsideTopK
from saddlepoint.attacks.wrappers.short_runs import ShortRun, _difference
from saddlepoint.errors import InputError
from saddlepoint.evaluation import build_suite
from saddlepoint.model import Guard
from saddlepoint.streams import Keys
from saddlepoint.threat import L1, L2, Box, Linf


def left_by(suite, case, **options):
    net, images, labels = case
    robust = torch.ones(len(images), dtype=torch.bool)
    spent = 0
    for attack in suite.values():
        result = attack(net, images, labels, **options)
        robust &= ~result.success
        spent += int((result.forwards + result.backwards).sum())
    return robust, spent


@pytest.mark.parametrize(
    "threat", mostly_slow([Linf(0.012), L2(0.15), L1(0.8)], quick=[Linf(0.012)]), ids=str
)
def test_it_leaves_no_more_than_standard_in_a_fifth_of_the_passes(threat):
    case = conv_case(24, wrong=0)
    ours, spent = left_by(build_suite("fast", threat), case)
    standard = build_suite("standard", threat)  # Square alone takes as many passes as the others
    theirs, needed = left_by({k: v for k, v in standard.items() if k != "square"}, case)
    assert 3 < int(theirs.sum()) < 22, "a mixed problem"
    assert int(ours.sum()) <= int(theirs.sum()) + 1
    assert spent < needed / 5


def test_who_survives_costs_what_is_said():
    net, images, labels = conv_case(6, torch.float64, wrong=0)
    attack = Fast(Linf(1e-6))
    result = attack(net, images, labels)
    steps = attack.expected_steps
    assert result.backwards.tolist() == [steps] * 6
    # the steps, the last image of each run with the first and the last one, the ranking of those that
    # are aimed, four times the margins that say who is near, the clean image and the judge
    aimed = attack.targets
    assert result.forwards.tolist() == [steps + (aimed + 2) + aimed + 4 * 2 + 2] * 6


def test_every_run_has_a_start_of_its_own(monkeypatch):
    numbers = []
    climb = ShortRun.climb

    def counted(self, batch, tracker, number):
        numbers.append(number)
        climb(self, batch, tracker, number)

    monkeypatch.setattr(ShortRun, "climb", counted)
    images = torch.tensor([[0.6, 0.4, 0.1, 0.1, 0.1, 0.1]])
    attack = Fast(Linf(0.0995), long=3)
    attack(torch.nn.Flatten(), images, torch.tensor([0]))
    assert numbers == list(range(2 + attack.targets + attack.margins + 3 * attack.close))


def test_long_runs_are_for_close_calls():
    """Of a linear model the margin at the best corner is known: 0.2 − 2·eps of 0.2."""
    images, labels = torch.tensor([[0.6, 0.4, 0.1, 0.1, 0.1, 0.1]]), torch.tensor([0])
    attack = Fast(Linf(0.05))

    def passes(eps):
        return int(replace(attack, threat=Linf(eps))(torch.nn.Flatten(), images, labels).backwards)

    plain = attack.margins * 30
    long = attack.close * attack.long
    assert passes(0.05) == attack.expected_steps
    assert passes(0.09) == attack.expected_steps + plain
    assert passes(0.098) == attack.expected_steps + plain + long
    assert passes(0.0995) == attack.expected_steps + plain + 3 * long


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_few_classes_are_aimed_at_several_times(classes):
    torch.manual_seed(classes)
    net = torch.nn.Sequential(torch.nn.Linear(6, 24), torch.nn.Tanh(), torch.nn.Linear(24, classes))
    net, images = net.double(), torch.rand(20, 6, dtype=torch.float64)
    net[2].bias.data = -net(images).mean(0)  # so that all classes occur
    labels = net(images).argmax(1)
    result = Fast(Linf(0.2))(net, images, labels)
    many = build_suite("thorough", Linf(0.2))["apgd-5"](net, images, labels)
    assert result.success_rate >= many.success_rate > 0.2


def test_where_the_gradient_is_zero_it_asks_for_scores():
    class Rounds(torch.nn.Module):
        def forward(self, x):
            return (8 * x.flatten(1)).round()

    images, labels = torch.tensor([[0.8, 0.4], [0.9, 0.1]]), torch.tensor([0, 0])
    with pytest.warns(UserWarning, match="exactly 0|several classes") as told:
        blind, asked = (
            Fast(Linf(0.3), queries=queries)(Rounds(), images, labels) for queries in (0, 60)
        )
    assert "exactly 0" in str([each.message for each in told])
    assert asked.success.tolist() == [True, False]
    assert int(blind.success.sum()) <= 1


def test_targets_top_k_masks_and_boxes():
    net, images, labels = conv_case(12, torch.float64, wrong=0)
    short = {"probe": 3, "steps": 6, "long": 6, "queries": 0}
    targets = (labels + 1) % 5
    aimed = Fast(Linf(0.1), **short)(net, images, labels, targets)
    assert torch.equal(aimed.predictions[aimed.success], targets[aimed.success])
    assert aimed.success_rate > 0.5
    outside = Fast(Linf(0.1), criterion=OutsideTopK(2), **short)(net, images, labels)
    assert 0 < outside.success_rate <= Fast(Linf(0.1), **short)(net, images, labels).success_rate
    mask = torch.zeros(3, 8, 8, dtype=torch.bool)
    mask[:, 2:6, 2:6] = True
    part = Fast(Linf(0.1), **short)(net, images, labels, mask=mask)
    assert bool((part.adversarials == images)[:, ~mask].all())
    assert not bool(part.rejected.any())
    box = Box((images - 0.05).clamp_min(0), images)
    assert not bool(Fast(box, **short)(net, images, labels).rejected.any())


def test_the_last_image_is_not_to_be_had():
    with pytest.raises(InputError, match="keeps the best of many runs"):
        Fast(Linf(0.1), keep="last")


def test_the_plain_difference_raises_the_target_over_the_label():
    rows = torch.arange(2)
    logits, batch = torch.tensor([[3.0, 1.0, 0.0], [0.0, 2.0, 5.0]]), conv_case(2)[1]
    batch = Batch(
        Guard(torch.nn.Flatten(), 2), Linf(0.1), Misclassified(), batch, rows, Keys(0, rows), rows
    )
    assert _difference(batch, torch.tensor([2, 2]))(logits).tolist() == [-3.0, 3.0]
