"""Pixels a rounding error outside the range are clamped, told once, and everything refers to the
clamped image; advice fits what was seen.
"""

from __future__ import annotations

import warnings
from functools import partial

import numpy as np
import pytest
import torch
from networks import conv_case
from torch import nn

from saddlepoint.attacks import DDN, FGSM, PGD, attack_targets, foreign
from saddlepoint.checks import range_advice
from saddlepoint.data import TensorData, load_data
from saddlepoint.errors import InputError
from saddlepoint.evaluation import AutoAttack, TorchattacksStyle, evaluate, rejudge, run_attack
from saddlepoint.threat import L2, Box, Linf, Rescaled

MEAN, STD = (torch.tensor(v).view(3, 1, 1) for v in ((0.49, 0.48, 0.45), (0.2, 0.2, 0.21)))


def case():
    """A network, clean images with black and white pixels, and the same a rounding error off."""
    net, x, _ = conv_case(12)
    x = (1.4 * x - 0.2).clamp(0, 1)
    off = torch.where(x == 1, x * (1 + 3e-7), torch.where(x == 0, -2e-7, x))
    assert float(off.max()) > 1
    assert float(off.min()) < 0
    with torch.no_grad():
        return net, x, off, net(x).argmax(1)


def told(call):
    """The result of a call and how often it told of clamped pixels."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        result = call()
    return result, sum("rounding error" in str(each.message) for each in seen)


ATTACKS = {
    "fgsm": FGSM(Linf(0.02)),
    "pgd": PGD(L2(0.3), steps=3),
    "ddn": DDN(L2(), steps=10),
    "box": PGD(Box(0.0, 1.0), steps=2),
    "normalised": PGD(Rescaled.pixels(Linf(0.05), (0.5,) * 3, (0.2,) * 3), steps=3),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_see_the_clamped_images_and_say_so_once(name):
    net, x, off, y = case()
    y = torch.where(torch.arange(12) == 3, (y + 1) % 5, y)  # one is wrong from the start
    result, times = told(lambda: ATTACKS[name](net, off, y))
    clean, silent = told(lambda: ATTACKS[name](net, x, y))
    assert (times, silent) == (1, 0)
    assert torch.equal(result.adversarials, clean.adversarials)
    assert torch.equal(result.distance, clean.distance)
    assert torch.equal(result.adversarials[3], x[3])
    assert bool(((result.adversarials >= 0) & (result.adversarials <= 1)).all())


def test_training_sees_them_too():
    net, x, off, y = case()
    for attack in (PGD(Linf(0.02), steps=2), PGD(L2(0.3), steps=2)):
        assert torch.equal(attack.candidates(net, off, y), attack.candidates(net, x, y))


def test_every_other_entry():
    net, x, off, y = case()
    attack, threat = FGSM(Linf(0.02)), Linf(0.02)
    (found, times), same = told(lambda: TorchattacksStyle(attack, net)(off, y)), attack(net, x, y)
    assert times == 1
    assert torch.equal(found, same.adversarials)
    suite = AutoAttack(net, norm="Linf", eps=1e-4, version="quick")
    found, times = told(lambda: suite.run_standard_evaluation(off, y))
    assert times == 1
    assert bool(((found >= 0) & (found <= 1)).all())
    found, times = told(lambda: attack_targets(attack, net, off, y, "best"))
    assert times == 1
    audit, times = told(lambda: rejudge(net, off, y, same.adversarials, threat))
    assert times == 1
    assert torch.equal(audit.distance, threat.distance(x, same.adversarials))


def test_rounding_of_what_others_offer_is_clamped_and_more_is_rejected():
    net, x, _, y = case()

    def rounded(model, images, labels, by=4e-7):
        inner = (images - 1e-3).clamp_min(0)
        return torch.where(images == 1, images + by, torch.where(images == 0, images - by, inner))

    attack = foreign(rounded, Linf(0.02))
    result, times = told(lambda: attack(net, x, y))
    assert times == 1
    assert not bool(result.rejected.any())
    far = foreign(partial(rounded, by=1e-4), Linf(0.02))
    assert bool(far(net, x, y).rejected.any())
    audit, times = told(lambda: rejudge(net, x, y, rounded(net, x, y), Linf(0.02)))
    assert times == 1
    assert bool(audit.in_range.all())
    assert bool(audit.within_budget.all())


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_data_are_clamped_when_they_are_read(kind, tmp_path):
    _, x, off, y = case()
    data, times = told(lambda: TensorData.of(kind(off.numpy()), kind(y.numpy()), name="off"))
    assert times == 1
    assert torch.equal(data.pixels, x)
    np.savez(tmp_path / "off.npz", images=off.numpy(), labels=y.numpy())
    read, times = told(lambda: load_data(str(tmp_path / "off.npz"), split="all"))
    assert times == 1
    assert torch.equal(read.pixels, x)


def test_data_that_are_made_by_hand_are_clamped_when_they_are_used():
    net, x, off, y = case()
    data = TensorData(off, y, "off", "all", tuple("01234"), (0.5,) * 3, (0.2,) * 3)
    record, times = told(
        lambda: evaluate(net, data, Linf(0.01), suite={"fgsm": FGSM(Linf(0.01))}, diagnosis=None)
    )
    assert times == 1
    assert record.clean.value == 1.0
    record, times = told(lambda: run_attack(net, data, FGSM(Linf(0.01))))
    assert times == 1
    assert torch.equal(record.result.adversarials, FGSM(Linf(0.01))(net, x, y).adversarials)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes_have_their_own_roundings(dtype):
    net, x, _, y = case()
    half = x.to(dtype)
    off = torch.where(half == 1, torch.nextafter(half, half + 1), half)
    result, times = told(lambda: FGSM(Linf(0.02))(net.to(torch.float32), off, y))
    assert times == 1
    assert float(result.adversarials.max()) <= 1


def test_each_channel_has_its_own_range():
    net, x, _, y = case()
    low, high = (0.1, 0.2, 0.0), (0.7, 0.9, 0.6)
    threat = Linf(0.02, low, high)
    least, most = (torch.tensor(b).view(3, 1, 1) for b in (low, high))
    x = x.clamp(least, most)
    off = torch.where(x == most, x + 3e-7, x)
    result, times = told(lambda: FGSM(threat)(net, off, y))
    assert times == 1
    assert torch.equal(result.adversarials, FGSM(threat)(net, x, y).adversarials)
    with pytest.raises(InputError, match=r"outside \[\(0\.1, 0\.2, 0\.0\)"):
        FGSM(threat)(net, torch.where(x == most, x + 0.01, x), y)
    with pytest.raises(InputError, match="bounds for 2 channels"):
        FGSM(Linf(0.02, (0.0, 0.0), 1.0))(net, x, y)


@pytest.mark.parametrize(
    ("least", "most", "words"),
    [
        (0, 255, "divide them by 255"),
        (3, 200, "divide them by 255"),
        (0, 16, "largest possible value"),
        (0, 65535, "largest possible value"),
        (-2.1, 2.6, "normalisation inside the model"),
        (-1, 1, "normalisation inside the model"),
        (-0.04, 1.07, "clip them"),
        (0, 1.001, "clip them"),
        (-1e-3, 1, "clip them"),
    ],
)
def test_advice_fits_what_was_seen(least, most, words):
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    x = torch.tensor([[least, most, (least + most) / 2, most]], dtype=torch.float32)
    advice = range_advice(least, most)
    for call in (
        lambda: FGSM(Linf(0.1))(net, x, torch.tensor([0])),
        lambda: TensorData.of(x, torch.tensor([0]), name="x"),
    ):
        with pytest.raises(InputError) as error:
            call()
        assert words in str(error.value)
        assert ("divide" in str(error.value)) == ("divide" in advice)
    assert ("255" in advice) == (most > 2.6)


def test_whole_numbers_beyond_8_bits_are_refused_and_8_bits_only_stand_for_the_unit_range():
    net, x, _, y = case()
    with pytest.raises(InputError, match=r"torch\.int64; give uint8, or floats in \[0, 1\]"):
        FGSM(Linf(0.1))(net, (x * 255).to(torch.int64), y)
    with pytest.raises(InputError, match=r"stands for \[0, 1\], but the range is \[0, 255\]"):
        FGSM(Linf(8, 0, 255))(net, (x * 255).to(torch.uint8), y)
