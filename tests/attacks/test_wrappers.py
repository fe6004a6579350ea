"""Attacks that run another attack: restarts, budgets, replaced backwards."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from linear import least_distance
from networks import Affine, conv_case
from torch import nn

from saddlepoint.attacks import (
    BIM,
    BPDA,
    FIXED_BUDGET,
    MINIMUM_NORM,
    PGD,
    AtBudget,
    FixedBudget,
    Restarted,
    ShrinkingBudget,
    SmallestBudget,
    UniformNoise,
    backward_replaced,
    build_attack,
)  # fmt: skip
from saddlepoint.attacks.core.criteria import BinaryLogit
from saddlepoint.attacks.minimum_norm.ddn import DDN
from saddlepoint.attacks.minimum_norm.fmn import FMN
from saddlepoint.errors import InputError
from saddlepoint.threat import L0, L1, L2, Box, Linf, Rescaled

W = torch.tensor([3.0, -2.0, 1.0, 0.5], dtype=torch.float64)
X = torch.tensor([[0.5, 0.4, 0.6, 0.5], [0.9, 0.2, 0.3, 0.1]], dtype=torch.float64)
LABELS = torch.zeros(2, dtype=torch.int64)


@pytest.mark.parametrize(
    ("norm", "ball"), [("linf", Linf), ("l2", L2), pytest.param("l1", L1, marks=pytest.mark.slow)]
)
def test_the_smallest_budget_is_the_exact_distance(norm, ball):
    attack = SmallestBudget(PGD(ball(0.2), steps=60), smallest=1e-2, largest=4.0, searches=8)
    result = attack(Affine(W), X, LABELS)
    assert bool(result.success.all())
    ratio = result.distance / least_distance(W, X, 0.0, norm)
    assert float(ratio.min()) >= 0.999
    assert float(ratio.max()) <= 1.01


@dataclass(frozen=True, kw_only=True)
class Largest(FixedBudget):
    """Moves the most useful features to their bounds: in L0 the optimum of a linear margin."""

    norms = ("L0",)

    def perturb(self, batch, tracker):
        _, gradient = batch.gradient(batch.clean, batch.loss("margin"))
        x = batch.project(
            torch.where(gradient > 0, 1.0, torch.where(gradient < 0, 0.0, batch.clean))
        )
        tracker.offer(batch, x)


def test_in_l0_the_budget_is_a_whole_number():
    # The margins are 1.55 and 2.65; the first feature is worth 1.5 of the one and 2.7 of the other.
    result = SmallestBudget(Largest(L0(1)), largest=4)(Affine(W), X, LABELS)
    assert result.distance.tolist() == [2.0, 1.0]


def test_a_shrinking_budget_comes_to_the_exact_distance_from_the_far_side():
    for norm, ball in (("linf", Linf), ("l2", L2), ("l1", L1)):
        attack = ShrinkingBudget(PGD(ball(0.2), steps=20), searches=14)
        ratio = attack(Affine(W), X, LABELS).distance / least_distance(W, X, 0.0, norm)
        assert float(ratio.min()) >= 0.999, norm
        assert float(ratio.max()) <= 1.02, norm
    whole = ShrinkingBudget(Largest(L0(1)))(Affine(W), X, LABELS)
    assert whole.distance.tolist() == [2.0, 1.0]


def test_a_restart_of_a_shrinking_budget_draws_anew():
    drawn = []

    @dataclass(frozen=True, kw_only=True)
    class Watch(FixedBudget):
        def perturb(self, batch, tracker):
            drawn.append(int(batch.keys.stream))
            tracker.offer(batch, batch.clean)

    whole = Restarted(ShrinkingBudget(Watch(Linf(0.1)), searches=4), 3)
    whole(Affine(W), X, LABELS)
    fresh = [stream for stream in drawn if stream >= 16 + 1]
    assert len(set(fresh)) >= 5, drawn


class Behind(nn.Module):
    """Fools at x₁ > 0.8 alone, of which the gradient says nothing below 0.7."""

    def forward(self, x):
        margin = (x[:, 0] - 0.8).clamp(min=-0.1)
        return torch.stack([-margin, margin], 1)


@pytest.mark.parametrize("ball", [Linf, L2])
def test_a_shrinking_budget_finds_what_the_gradient_hides_from_within(ball):
    images = torch.full((2, 2), 0.5, dtype=torch.float64)
    pgd = PGD(ball(0.05), steps=10, start="clean")
    with pytest.warns(UserWarning, match="exactly 0"):
        outwards = SmallestBudget(pgd)(Behind(), images, LABELS)
    assert bool(outwards.distance.isinf().all())
    found = ShrinkingBudget(pgd, searches=10)(Behind(), images, LABELS)
    assert found.distance.tolist() == pytest.approx([0.3, 0.3], rel=0.01)


def test_without_a_random_image_that_fools_the_budget_is_doubled_first():
    class Rare(nn.Module):
        """Fools where the first of 400 coordinates, and none beside it, is above 0.8."""

        def forward(self, x):
            margin = x[:, 0] - 0.8 - 9 * (x[:, 1:] - 0.5).abs().sum(1)
            return torch.stack([-margin, margin], 1)

    images = torch.full((1, 400), 0.5, dtype=torch.float64)
    attack = ShrinkingBudget(PGD(L2(0.02), steps=10, start="clean"), searches=16)
    found = attack(Rare(), images, LABELS[:1])
    assert float(found.distance) == pytest.approx(0.3, rel=0.02)


def test_success_that_is_not_monotone_in_the_budget_is_found_on_the_grid():
    class Window(nn.Module):
        def forward(self, x):
            moved = (x - 0.5).abs().amax(1)
            inside = (moved > 0.05) & (moved < 0.12)
            return torch.stack([torch.where(inside, -9.0, 9.0), 0 * moved], 1)

    class Far(FixedBudget):
        def perturb(self, batch, tracker):
            tracker.offer(batch, batch.project(batch.clean + 1))

    images = torch.full((1, 3), 0.5)
    result = SmallestBudget(Far(Linf(0.1)), smallest=0.01, largest=0.5, grid=12)(
        Window(), images, LABELS[:1]
    )
    assert 0.05 < float(result.distance) < 0.055


def test_at_a_budget_the_answer_is_on_the_right_side_of_the_distance():
    exact = least_distance(W, X, 0.0, "l2")
    for i in (0, 1):
        for share, expected in ((0.99, False), (1.01, True)):
            attack = AtBudget(DDN(L2(), steps=200), L2(share * float(exact[i])))
            result = attack(Affine(W), X[i : i + 1], LABELS[:1])
            assert bool(result.success) == expected
            assert float(result.distance) <= share * float(exact[i]) * (1 + 1e-5)


def test_a_minimum_norm_attack_by_name_takes_a_budget():
    attack = build_attack("ddn", L2(0.5), {"steps": "50"})
    assert attack.kind is FIXED_BUDGET
    assert attack.threat == L2(0.5)
    assert build_attack("ddn", L2()).kind is MINIMUM_NORM
    scaled = build_attack("ddn", Rescaled(L2(0.5), (0.5,), (0.25,)))
    assert scaled.threat.space == "normalised"


@pytest.mark.parametrize(
    ("build", "word"),
    [
        (lambda: AtBudget(DDN(L2()), Linf(0.1)), "measures L2"),
        (lambda: AtBudget(PGD(L2(1.0)), L2(0.1)), "budget of its own"),
        (lambda: SmallestBudget(DDN(L2())), "no budget to search"),
        (lambda: SmallestBudget(PGD(Box(0.0, 1.0))), "no budget to search"),
        (lambda: SmallestBudget(PGD(Linf(0.1)), smallest=1.0, largest=0.1), "smallest < largest"),
        (lambda: SmallestBudget(PGD(Linf(0.1)), grid=0), "at least 1"),
        (lambda: SmallestBudget(PGD(Linf(0.1)), searches=-1), "at least 0"),
        (lambda: ShrinkingBudget(DDN(L2())), "no budget to search"),
        (lambda: ShrinkingBudget(PGD(Linf(0.1)), searches=0), "at least 1"),
        (lambda: ShrinkingBudget(PGD(Linf())), "one number above 0"),
        (lambda: ShrinkingBudget(PGD(Linf(torch.tensor([0.1, 0.2])))), "one number above 0"),
        (lambda: Restarted(PGD(Linf(0.1)), 0), "at least 1"),
        (lambda: Restarted(PGD(Linf(0.1), keep="last"), 2), 'keep="best"'),
        (lambda: Restarted(torch.nn.Flatten(), 2), "is no attack"),
        (lambda: BPDA(PGD(Linf(0.1)), ()), "at least one module"),
        (lambda: DDN(L2(0.5)), "without a budget"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(build, word):
    with pytest.raises(InputError, match=word):
        build()


def test_one_restart_is_the_attack_itself_and_more_fool_more():
    net, images, labels = conv_case(48)
    attack = UniformNoise(Linf(0.4), draws=1)
    alone = attack(net, images, labels)
    once = Restarted(attack, 1)(net, images, labels)
    assert torch.equal(alone.adversarials, once.adversarials)
    many = Restarted(attack, 12)(net, images, labels)
    assert bool((many.success >= alone.success).all())
    assert many.success.sum() > alone.success.sum()
    assert bool((many.forwards[alone.success] <= once.forwards[alone.success]).all())


def test_attacks_that_begin_at_the_image_restart_elsewhere():
    net, images, labels = conv_case(24)
    result = Restarted(BIM(Linf(0.01), steps=1), 3)(net, images, labels)
    robust = ~result.success
    assert bool((result.backwards[robust] == 3).all())
    assert int(robust.sum()) > 0


@pytest.mark.parametrize("attack", [DDN(L2(), steps=20), FMN(L0(), steps=20)])
def test_restarts_of_a_minimum_norm_attack_only_come_nearer(attack):
    net, images, labels = conv_case(12, torch.float64)
    alone = attack(net, images, labels)
    many = Restarted(attack, 5)
    result = many(net, images, labels)
    assert bool((result.distance <= alone.distance).all())
    assert bool((result.distance < alone.distance).any())
    assert bool((result.backwards[~alone.initially_wrong] == 5 * 20).all())
    part = many(net, images[5:9], labels[5:9], ids=torch.arange(5, 9))
    assert torch.allclose(result.distance[5:9], part.distance, atol=1e-9)


def test_restarts_reach_a_class_that_the_attack_itself_passes_by():
    # Class 1 is the nearer one at the image, class 2 behind a bend of its own.
    class Bent(nn.Module):
        def forward(self, x):
            bend = 40 * (x[:, 1:] - 0.53).relu()
            return torch.cat([torch.zeros_like(bend), x[:, :1] - 0.9, bend - 0.5], 1)

    x, y = torch.tensor([[0.5, 0.5]]), torch.tensor([0])
    attack = DDN(L2(), steps=40, loss="margin")
    assert float(attack(Bent(), x, y).distance) > 0.39
    assert float(Restarted(attack, 5)(Bent(), x, y).distance) < 0.05


def test_restarts_keep_the_mask_and_criteria_with_one_boundary():
    net, images, labels = conv_case(6)
    mask = torch.zeros(images.shape[1:], dtype=torch.bool)
    mask[:, :4] = True
    result = Restarted(DDN(L2(), steps=20), 4)(net, images, labels, mask=mask)
    assert torch.equal(result.adversarials[:, :, 4:], images[:, :, 4:])
    one = nn.Sequential(nn.Flatten(), nn.Linear(images[0].numel(), 1))
    sides = (one(images)[:, 0] > 0).long()
    attack = Restarted(DDN(L2(), steps=20, criterion=BinaryLogit()), 3)
    assert bool(attack(one, images, sides).success.all())


class Steps(nn.Module):
    def forward(self, x):
        return (x * 16).round() / 16


def test_bpda_sees_through_rounding():
    net, images, labels = conv_case(32)
    defended = nn.Sequential(Steps(), net)
    with torch.no_grad():
        labels = defended(images).argmax(1)
    attack = PGD(Linf(0.06), steps=10)
    with pytest.warns(UserWarning, match="gradient was exactly 0"):
        masked = attack(defended, images, labels)
    assert masked.success_rate < 0.5
    assert BPDA(attack, "0")(defended, images, labels).success_rate > 0.9
    assert not defended[0]._forward_hooks
    doubled = BPDA(attack, "0", surrogate=lambda x: -x)(defended, images, labels)
    assert doubled.success_rate < 0.5, "the surrogate's gradient points the other way"


def test_the_values_of_a_replaced_module_stay_and_its_shape_is_checked():
    layer = nn.Sequential(Steps())
    x = torch.rand(4, 3)
    before = layer(x)
    with backward_replaced(layer, ("0",)):
        assert torch.equal(layer(x), before)
    with (
        backward_replaced(layer, ("0",), lambda x: x[:, :1]),
        pytest.raises(InputError, match="stand-in gives shape"),
    ):
        layer(x)
    with pytest.raises(InputError, match="unknown module"), backward_replaced(layer, ("none",)):
        pass
    assert not layer[0]._forward_hooks


def test_jacobians_pass_through_a_replaced_backward():
    from saddlepoint.model import Guard

    net = nn.Sequential(Steps(), nn.Linear(3, 2, dtype=torch.float64))
    x = torch.rand(5, 3, dtype=torch.float64)
    with Guard(net, 5) as guard, backward_replaced(net, ("0",)):
        _, rows = guard.jacobian(x, lambda z: torch.eye(2).double().expand(5, 2, 2))
    assert torch.allclose(rows, net[1].weight.detach().expand(5, 2, 3))


@pytest.mark.parametrize("surrogate", [None, lambda x: 3 * x])
def test_bpda_of_a_module_that_overwrites_its_input(surrogate):
    layer = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Threshold(0.5, 0.0, inplace=True))
    layer[0].weight.data.fill_(1.0)
    x = torch.tensor([[0.2]], requires_grad=True)
    with backward_replaced(layer, ("1",), surrogate):
        layer(x).sum().backward()
    assert float(x.grad) == (1.0 if surrogate is None else 3.0)
