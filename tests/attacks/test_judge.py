"""The judge believes nothing: lies, cheats and broken images are no success."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from networks import Affine, conv_case
from torch import Tensor

from saddlepoint.attacks import PGD, BinaryLogit, FixedBudget, MinimumNorm, UniformNoise
from saddlepoint.streams import Keys
from saddlepoint.threat import L0, L1, L2, Linf


@dataclass(frozen=True, kw_only=True)
class Offer(FixedBudget):
    """Offers what a function makes of the images, and claims that it fools."""

    make: Callable[[Tensor], Tensor]
    norms = ("Linf", "L2", "L1", "L0", "Box")

    def perturb(self, batch, tracker):
        claim(batch, tracker, self.make(batch.images))


@dataclass(frozen=True, kw_only=True)
class OfferNearest(MinimumNorm):
    """`Offer` of a minimum-norm attack."""

    make: Callable[[Tensor], Tensor]

    def perturb(self, batch, tracker):
        claim(batch, tracker, self.make(batch.images))


def claim(batch, tracker, images):
    tracker.hand_over(batch, images)
    if hasattr(tracker, "margin"):
        tracker.margin[batch.index] = -1.0


# The margin is x₀ − 0.5: an image is fooled as soon as its first pixel is below 0.5.
NET = Affine(torch.tensor([1.0, 0.0, 0.0]), -0.5)
IMAGES = torch.tensor([[0.55, 0.3, 1.0], [0.8, 0.0, 0.5]])
LABELS = torch.tensor([0, 0])


def judged(make, threat=None, images=IMAGES, **options):
    attack = Offer(threat or Linf(0.1), make=make, keep=options.pop("keep", "best"))
    return attack(NET, images, LABELS, **options)


def minus(value: float, pixel: int = 0):
    step = torch.zeros(3)
    step[pixel] = value
    return lambda x: x - step


def assert_nothing(result, rejected: bool) -> None:
    assert not bool(result.success.any())
    assert bool(result.rejected.all()) == rejected
    assert torch.equal(result.adversarials, IMAGES) or not rejected
    assert result.predictions.tolist() == [0, 0]


@pytest.mark.parametrize("keep", ["best", "last"])
def test_an_honest_attack_is_believed(keep):
    result = judged(minus(0.1), keep=keep)
    assert result.success.tolist() == [True, False]
    assert result.predictions.tolist() == [1, 0]
    assert result.distance.tolist() == pytest.approx([0.1, 0.1])
    assert not bool(result.rejected.any())


@pytest.mark.parametrize("keep", ["best", "last"])
def test_the_clean_image_is_no_success(keep):
    assert_nothing(judged(lambda x: x, keep=keep), rejected=False)


@pytest.mark.parametrize(
    "threat", [Linf(0.1), L2(0.1), L1(0.1), Linf(torch.tensor([0.1, 0.1]))], ids=str
)
def test_outside_the_ball_by_a_thousandth_is_rejected(threat):
    assert judged(minus(0.1), threat).success.tolist() == [True, False]
    assert_nothing(judged(minus(0.101), threat), rejected=True)


@pytest.mark.parametrize(
    ("threat", "over"), [(Linf(0.1), 2e-6), (L2(0.1), 2e-6), (L1(0.1), 2e-6)], ids=str
)
def test_the_tolerance_is_a_rounding_error(threat, over):
    images = torch.tensor([[0.55, 0.3, 0.5], [0.6, 0.0, 0.5]], dtype=torch.float64)
    net = Affine(torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64), -0.6)
    step = torch.tensor([0.1 + over, 0.0, 0.0], dtype=torch.float64)
    labels = torch.tensor([1, 0])
    result = Offer(threat, make=lambda x: x - step)(net, images, labels)
    assert bool(result.rejected.all())


def test_one_feature_too_many_is_rejected():
    both = torch.tensor([0.1, 0.0, 0.2])
    assert_nothing(judged(lambda x: x - both, L0(1)), rejected=True)
    assert judged(lambda x: x - both, L0(2)).success.tolist() == [True, False]


@pytest.mark.parametrize("value", [-0.01, -1e-6])
def test_outside_the_valid_range_is_rejected(value):
    def make(x):
        x = x - torch.tensor([0.1, 0.0, 0.0])
        x[:, 1] = value
        return x

    assert_nothing(judged(make, L2(1.0)), rejected=True)
    above = judged(lambda x: torch.cat([x[:, :1] - 0.1, 1 - value + 0 * x[:, 1:]], 1), L2(2.0))
    assert_nothing(above, rejected=True)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_rejected(value):
    def make(x):
        x = x - torch.tensor([0.1, 0.0, 0.0])
        x[:, 2] = value
        return x

    for threat in (Linf(0.1), L2(0.5), L1(0.5), L0(3)):
        result = judged(make, threat)
        assert_nothing(result, rejected=True)
        assert bool(result.adversarials.isfinite().all())


def test_a_tie_is_what_argmax_makes_of_it():
    result = judged(lambda x: torch.full_like(x, 0.5), Linf(0.5))
    assert result.success.tolist() == (LABELS != 0).tolist()
    assert result.predictions.tolist() == [0, 0]
    assert result.tied.tolist() == [True, True]
    binary = torch.nn.Sequential(torch.nn.Linear(3, 1))
    binary[0].weight.data, binary[0].bias.data = torch.tensor([[1.0, 0, 0]]), torch.tensor([-0.5])
    half = Offer(Linf(0.4), make=lambda x: x * 0 + 0.5, criterion=BinaryLogit())
    images, labels = torch.tensor([[0.6, 0.5, 0.5], [0.4, 0.5, 0.5]]), torch.tensor([1, 0])
    result = half(binary, images, labels)
    assert result.success.tolist() == [True, False]
    assert result.predictions.tolist() == [0, 0]
    assert result.tied.tolist() == [True, True]


def test_a_tie_with_the_target_is_no_success():
    result = Offer(Linf(0.4), make=lambda x: x * 0 + 0.5)(
        NET, torch.full((2, 3), 0.6), LABELS, targets=LABELS + 1
    )
    assert not bool(result.success.any())
    assert result.predictions.tolist() == [0, 0]


def test_a_forbidden_feature_that_moved_is_rejected():
    mask = torch.tensor([False, True, True])
    assert_nothing(judged(minus(0.1), mask=mask), rejected=True)
    assert judged(minus(0.1), mask=~mask).success.tolist() == [True, False]


def test_an_initially_wrong_image_is_left_alone():
    images = torch.tensor([[0.4, 0.3, 1.0], [0.55, 0.0, 0.5]])
    result = judged(minus(0.1), images=images)
    assert result.initially_wrong.tolist() == [True, False]
    assert result.success.tolist() == [True, True]
    assert torch.equal(result.adversarials[0], images[0])
    assert result.distance[0] == 0
    assert result.success_rate == 1.0
    assert result.robust_accuracy == 0.0
    assert math.isnan(judged(minus(0.1), images=images[[0, 0]]).success_rate)


def test_a_failure_of_a_minimum_norm_attack_is_infinite_and_clean():
    result = OfferNearest(Linf(), make=minus(0.1))(NET, IMAGES, LABELS)
    assert result.success.tolist() == [True, False]
    assert result.distance[0] == pytest.approx(0.1)
    assert result.distance[1] == math.inf
    assert torch.equal(result.adversarials[1], IMAGES[1])
    assert result.predictions.tolist() == [1, 0]


def test_what_only_the_loop_believes_is_attacked_again_in_full_precision():
    """bfloat16 rounds a margin of +0.001 to −; the sample must not be given up for that."""
    net, images, labels = conv_case(64, wrong=0)
    for eps in (0.003, 0.01, 0.02):
        attack = PGD(Linf(eps), steps=10)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            coarse = attack(net, images, labels)
        full = attack(net, images, labels)
        assert int(coarse.success.sum()) >= int(full.success.sum()) - 1
        with torch.no_grad():
            assert torch.equal(net(coarse.adversarials).argmax(1) != labels, coarse.success)


def test_a_model_that_is_random_in_secret_is_not_given_up_after_one_lucky_draw():
    class Coin(torch.nn.Module):
        def forward(self, x):
            margin = x[:, 0] - 0.5 + 0.1 * torch.randn(len(x))
            return torch.stack([margin, torch.zeros_like(margin)], 1)

    images = torch.full((200, 3), 0.55)
    labels = torch.zeros(200, dtype=torch.int64)
    early = PGD(Linf(0.2), steps=20)(Coin(), images, labels)
    # The whole budget takes the mean margin to −0.15, one and a half deviations below zero.
    assert early.success_rate > 0.7


def test_draws_of_the_judge_are_not_those_of_the_attack():
    keys = Keys(0, torch.arange(3))
    assert not torch.equal(keys.normal((5,), step=1), keys.split(1).normal((5,), step=1))
    assert UniformNoise(Linf(0.1))(NET, IMAGES, LABELS, seed=7).success.tolist() == [True, False]
