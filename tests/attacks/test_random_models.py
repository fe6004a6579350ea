"""Models that are random at inference: keyed noise, no lucky early end, expectation over draws."""

from __future__ import annotations

import pytest
import torch
from networks import Affine, Noise, conv_case
from torch import nn

from saddlepoint.attacks import (
    BIM,
    DDN,
    FAB,
    PGD,
    BinaryLogit,
    ShrinkingBudget,
    SmallestBudget,
    UniformNoise,
)
from saddlepoint.model import Guard, is_random
from saddlepoint.streams import Keys
from saddlepoint.threat import L2, Linf


def noisy(sigma: float = 0.02, dtype=torch.float32):
    net, images, labels = conv_case(48, dtype, wrong=0)
    return nn.Sequential(Noise(sigma), net), images, labels


def test_noise_is_each_samples_own():
    net, images, _ = noisy(dtype=torch.float64)
    assert is_random(net)
    keys = Keys(0, torch.arange(48))

    def logits(rows):
        with Guard(net, count=48) as guard:
            return [guard.logits(images[rows], rows, keys.at(rows)) for _ in range(3)]

    whole, part = logits(torch.arange(48)), logits(torch.tensor([40, 3, 11]))
    for w, p in zip(whole, part, strict=True):
        assert torch.allclose(w[[40, 3, 11]], p, rtol=0, atol=1e-12)
    assert not torch.allclose(whole[0], whole[1]), "every pass has its own noise"


@pytest.mark.parametrize("eot", [1, 2])
def test_results_are_independent_of_the_batch(eot):
    net, images, labels = noisy(dtype=torch.float64)
    attack = PGD(Linf(0.01), steps=3, restarts=2, eot_samples=eot)
    whole = attack(net, images, labels)
    for rows in torch.arange(48).split(5):
        part = attack(net, images[rows], labels[rows], ids=rows)
        for field in ("success", "predictions", "initially_wrong", "forwards"):
            assert torch.equal(getattr(part, field), getattr(whole, field)[rows]), field
        assert torch.allclose(part.adversarials, whole.adversarials[rows], rtol=0, atol=1e-9)


def test_one_lucky_draw_does_not_finish_a_sample():
    net, images, labels = noisy(0.03)
    result = PGD(Linf(0.01), steps=6)(net, images, labels)
    attacked = ~result.initially_wrong
    assert result.backwards[attacked].unique().tolist() == [6]


def test_averaging_gives_the_stronger_attack():
    """Both are judged by the same fresh draws: the mean prediction over 64 of them."""
    net, images, labels = noisy(0.03)

    def robust(eot: int) -> float:
        total = 0.0
        for seed in range(3):
            attack = PGD(Linf(0.01), steps=10, eot_samples=eot, keep="last")
            adversarial = attack.candidates(net, images, labels, seed=seed)
            with Guard(net, count=48, samples=64) as guard:
                keys = Keys(99, torch.arange(48), stream=7)
                total += float(
                    (guard.logits(adversarial, None, keys).argmax(1) == labels).double().mean()
                )
        return total / 3

    assert robust(8) <= robust(1) + 1e-9


def test_a_success_holds_under_fresh_noise():
    """The judge has its own draws: an attack that learns its noise by heart gains nothing."""
    net = nn.Sequential(Noise(1.0), Affine(torch.tensor([1.0, 0.0]), 1.5))
    images, labels = torch.full((400, 2), 0.5), torch.zeros(400, dtype=torch.int64)
    result = UniformNoise(Linf(1e-4), draws=30)(net, images, labels)
    with torch.no_grad():
        honest = 0.5 * torch.erfc(torch.tensor(2.0 / 2**0.5))  # P(noise < −2)
    assert result.success_rate == pytest.approx(float(honest), abs=0.03)


def test_one_logit_and_averaging_go_together():
    net = nn.Sequential(Noise(0.05), nn.Linear(2, 1))
    net[1].weight.data, net[1].bias.data = torch.tensor([[4.0, 4.0]]), torch.tensor([-4.0])
    images, labels = torch.tensor([[0.55, 0.55], [0.45, 0.45]]), torch.tensor([1, 0])
    attack = PGD(Linf(0.2), criterion=BinaryLogit(), eot_samples=8)
    assert attack(net, images, labels).success.tolist() == [True, True]
    assert PGD(Linf(0.001), criterion=BinaryLogit(), eot_samples=8)(
        net, images, labels
    ).success.tolist() == [False, False]


def test_averaging_a_model_that_is_not_random_changes_nothing():
    net, images, labels = conv_case(24, torch.float64)
    one, four = (BIM(Linf(0.01), eot_samples=n)(net, images, labels) for n in (1, 4))
    assert torch.equal(one.success, four.success)
    assert torch.allclose(one.adversarials, four.adversarials, rtol=0, atol=1e-9)
    assert torch.equal(4 * one.backwards, four.backwards)


@pytest.mark.parametrize(
    "attack",
    [
        DDN(L2(), steps=40),
        DDN(L2(), steps=40, eot_samples=8),
        FAB(L2(), steps=10, eot_samples=8),
        SmallestBudget(PGD(L2(0.2), steps=8, eot_samples=8), searches=3),
        ShrinkingBudget(PGD(L2(0.2), steps=8, eot_samples=8), searches=5),
    ],
)
def test_the_nearest_of_many_draws_is_not_a_lucky_one(attack):
    """The judge draws afresh: a distance that held by luck would count as a failure, as robust."""
    images = torch.tensor([[0.8, 0.3]]).expand(24, 2)
    result = attack(Noise(0.1), images, torch.zeros(24, dtype=torch.int64))
    assert result.success_rate >= 0.8
    assert float(result.distance[result.success].median()) < 0.8
