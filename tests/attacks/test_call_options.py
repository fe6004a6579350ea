"""Budgets in the call, given starts, masks, and budgets in normalised space."""

from __future__ import annotations

import math

import pytest
import torch
from networks import Affine, conv_case

from saddlepoint.attacks import BIM, FGSM, MIFGSM, PGD, UniformNoise, nine_defences_pgd
from saddlepoint.threat import L0, L1, L2, Linf, Rescaled

BALLS = {"linf": Linf, "l2": L2, "l1": L1}


@pytest.mark.parametrize("norm", BALLS)
def test_a_budget_in_the_call_replaces_the_threat_models(norm):
    net, images, labels = conv_case(16)
    direct = PGD(BALLS[norm](0.1), steps=4)(net, images, labels)
    for own in (BALLS[norm](3.0), BALLS[norm]()):
        given = PGD(own, steps=4)(net, images, labels, eps=0.1)
        assert torch.equal(direct.adversarials, given.adversarials)
        each = PGD(own, steps=4)(
            net, images, labels, eps=torch.full((16,), 0.1, dtype=torch.float64)
        )
        assert torch.equal(direct.adversarials, each.adversarials)


@pytest.mark.parametrize("norm", BALLS)
@pytest.mark.parametrize("attack", [FGSM, BIM, MIFGSM, PGD, UniformNoise])
def test_every_sample_keeps_its_own_budget(norm, attack):
    net, images, labels = conv_case(16, torch.float64, wrong=0)
    eps = torch.linspace(1e-4, 0.02, 16, dtype=torch.float64)
    result = attack(BALLS[norm](), stop="never")(net, images, labels, eps=eps)
    assert bool((result.distance <= eps * (1 + 1e-5)).all())
    assert bool((result.distance > 0).all())
    if attack is not UniformNoise:
        assert bool((result.distance > 0.5 * eps).all())


def test_a_given_start_is_used_once_and_projected():
    net, images, labels = conv_case(16, torch.float64, wrong=0)
    strong = PGD(Linf(0.05), steps=20, stop="never")(net, images, labels).adversarials
    weak = PGD(Linf(0.05), steps=1, step_size=1e-6, restarts=2)
    with_start, without = (weak(net, images, labels, starts=s) for s in (strong, None))
    assert with_start.success_rate == 1.0
    assert without.success_rate < 0.9
    far = weak(net, images, labels, starts=images + 100 * (strong - images))
    assert not bool(far.rejected.any())
    assert bool((far.distance <= 0.05 + 1e-9).all())


@pytest.mark.parametrize("start", ["uniform", "gaussian", "clean"])
def test_a_start_that_fools_already_is_a_success(start):
    """Only the start fools: the step of the attack leads away from the hole."""

    class Hole(torch.nn.Module):
        def forward(self, x):
            inside = ((x - 0.55).abs() < 0.005).to(x)
            margin = 1 - 2 * inside - (x - 0.5) * 0.1
            return torch.cat([margin + 3, torch.full_like(margin, 3.0)], 1)

    image, label = torch.tensor([[0.5]]), torch.tensor([0])
    attack = PGD(Linf(0.1), steps=1, step_size=0.05, start=start)
    assert bool(attack(Hole(), image, label, starts=torch.tensor([[0.55]])).success)


@pytest.mark.parametrize("threat", [Linf(0.2), L2(0.5), L1(1.0)], ids=str)
@pytest.mark.parametrize(
    ("attack", "options"),
    [
        (FGSM, {}),
        (BIM, {"steps": 3}),
        (MIFGSM, {"steps": 3}),
        (PGD, {"steps": 3}),
        (PGD, {"steps": 3, "start": "gaussian"}),
        (UniformNoise, {"draws": 3}),
    ],
)
def test_masked_features_stay_to_the_last_bit(threat, attack, options):
    built = attack(threat, stop="never", **options)
    net, images, labels = conv_case(8, wrong=0)
    generator = torch.Generator().manual_seed(0)
    for mask in (
        torch.rand(3, 8, 8, generator=generator) < 0.5,
        torch.rand(8, 3, 8, 8, generator=generator) < 0.5,
        torch.rand(8, 8, generator=generator) < 0.5,
        torch.rand(8, 1, 8, 8, generator=generator) < 0.5,
    ):
        result = built(net, images, labels, mask=mask)
        full = mask.expand(images.shape)
        assert torch.equal(result.adversarials[~full], images[~full])
        assert not bool(result.rejected.any())
        assert bool((result.distance > 0).all())


def test_random_search_honours_the_mask_in_l0():
    net, images, labels = conv_case(8, wrong=0)
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[2:5, 2:5] = True
    result = UniformNoise(L0(20, per="pixel"), stop="never")(net, images, labels, mask=mask)
    assert torch.equal(result.adversarials[:, :, ~mask], images[:, :, ~mask])
    assert not bool(result.rejected.any())


@pytest.mark.parametrize("norm", BALLS)
@pytest.mark.parametrize("attack", [FGSM, BIM, MIFGSM, PGD])
def test_the_budget_goes_where_the_mask_allows(norm, attack):
    """The forbidden features have the largest gradients: a step must not be spent on them."""
    w = torch.tensor([100.0, 100.0, 1.0, 0.0])
    images, mask = torch.full((1, 4), 0.5), torch.tensor([False, False, True, True])
    net = Affine(w, -100.5 + 0.09)
    result = attack(BALLS[norm](0.1))(net, images, torch.tensor([0]), mask=mask)
    assert bool(result.success)


@pytest.mark.parametrize("attack", [FGSM, BIM, MIFGSM, PGD, UniformNoise])
def test_a_normalised_budget_is_spent_whole_in_normalised_units(attack):
    net, images, labels = conv_case(16, wrong=0)
    images, std = 0.25 + images / 2, (0.2, 0.25, 0.1)
    with torch.no_grad():
        labels = net(images).argmax(1)
    threat = Rescaled.pixels(Linf(8 / 255), (0.5, 0.4, 0.6), std)
    result = attack(threat, stop="never")(net, images, labels)
    assert result.space == "normalised"
    assert not bool(result.rejected.any())
    change = (result.adversarials - images).abs().amax((0, 2, 3)) * 255
    expected = [8 * s for s in std]
    assert change.tolist() == pytest.approx(expected, rel=0.05 if attack is UniformNoise else 1e-4)
    assert bool((result.distance <= 8 / 255 + 1e-6).all())


def test_dividing_the_budget_by_the_deviation_is_attacking_in_pixels():
    """One deviation for all channels: both spaces are the same ball, and the same attack."""
    net, images, labels = conv_case(32, torch.float64)
    normal = Rescaled.pixels(Linf(0.05), (0.4,) * 3, (0.2,) * 3)
    for attack in (FGSM, BIM, MIFGSM, PGD):
        ours = attack(normal)(net, images, labels)
        pixels = attack(Linf(0.01))(net, images, labels)
        assert torch.equal(ours.success, pixels.success)
        assert torch.allclose(ours.adversarials, pixels.adversarials, rtol=0, atol=1e-12)


def test_the_reports_clip_allows_clean_pixels_outside_it():
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    net, images, labels = conv_case(16, wrong=0)
    images[:, :, :2] = 0.0  # normalised −2.1 … −1.8
    images[:, :, 2:4] = 1.0  # normalised 2.2 … 2.6
    with torch.no_grad():
        labels = net(images).argmax(1)
    result = nine_defences_pgd(Rescaled(Linf(8 / 255, -2.0, 2.0), mean, std))(net, images, labels)
    assert not bool(result.rejected.any())
    m, s = (torch.tensor(v).reshape(3, 1, 1) for v in (mean, std))
    z = (result.adversarials - m) / s
    assert float(z.abs().max()) <= 2 + 1e-5
    free = nine_defences_pgd(Rescaled(Linf(8 / 255, -math.inf, math.inf), mean, std))(
        net, images, labels
    )
    assert float(free.distance.max()) == pytest.approx(8 / 255, rel=1e-3)
    assert float(free.adversarials.min()) < 0, "without the clip pixels leave [0, 1]"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_images_are_attacked_in_single(dtype):
    net, images, labels = conv_case(8)
    result = PGD(Linf(8 / 255))(net, images.to(dtype), labels)
    assert result.adversarials.dtype == torch.float32
    assert not bool(result.rejected.any())
