"""Images whose every feature is on a bound, and calls in which hardly a feature may change."""

from __future__ import annotations

import warnings

import pytest
import torch
from networks import conv_case

from saddlepoint.attacks import CarliniWagnerL0, CarliniWagnerL2, CarliniWagnerLinf, build_attack
from saddlepoint.attacks.registry import ATTACKS, option_types
from saddlepoint.threat import L0, L1, L2, Linf, Patches

BALLS = {"linf": Linf, "l2": L2, "l1": L1, "l0": L0, "patches": Patches}
BUDGETS = {"linf": 0.1, "l2": 1.0, "l1": 5.0, "l0": 5, "patches": 1}
SHORT = {"steps": 3, "searches": 2, "rounds": 3, "queries": 9, "passes": 200, "draws": 3}
EVERY = [
    (name, norm)
    for name, info in ATTACKS.items()
    if not info.attack.from_file
    for norm in info.norms
]


def short(name, norm):
    budget = () if ATTACKS[name].minimum_norm else (BUDGETS[norm],)
    known = option_types(name)
    return build_attack(name, BALLS[norm](*budget), {k: SHORT[k] for k in SHORT if k in known})


@pytest.mark.parametrize(("name", "norm"), EVERY)
def test_where_nothing_may_change_nothing_does_and_nobody_is_blamed(name, norm):
    net, x, y = conv_case(3, wrong=1)
    mask = torch.zeros_like(x, dtype=torch.bool)
    mask[2] = True  # in company of an image that may change
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # A search for the boundary of the image that may change can end on it.
        warnings.filterwarnings("ignore", message="several classes share")
        result = short(name, norm)(net, x, y, mask=mask)
    assert bool(result.adversarials.isfinite().all())
    assert torch.equal(result.adversarials[:2], x[:2])
    assert result.success[:2].tolist() == [True, False]
    assert not bool(result.rejected.any())


@pytest.mark.parametrize(
    "attack",
    [
        CarliniWagnerL2(L2(), steps=10), CarliniWagnerL2(L2(), steps=30),
        CarliniWagnerL0(L0(), steps=10), CarliniWagnerL0(L0(), steps=30),
        CarliniWagnerLinf(Linf(), steps=10),
    ],
)  # fmt: skip
def test_black_and_white_images_are_fooled_in_few_steps(attack):
    net, x, _ = conv_case(4, wrong=0)
    x = (x > 0.5).to(x.dtype)
    result = attack(net, x, net(x).argmax(1))
    assert bool(result.success.all())


def test_the_default_is_no_further_than_the_change_of_variables_and_no_dearer():
    net, x, _ = conv_case(8, wrong=0)
    for images in (x, (x > 0.5).to(x.dtype)):
        here, there = (
            CarliniWagnerL2(L2(), steps=30, **how)(net, images, net(images).argmax(1))
            for how in ({}, {"box": "tanh"})
        )
        assert float(here.distance.mean()) <= 1.002 * float(there.distance.mean())
        assert float(here.backwards.sum()) <= 1.1 * float(there.backwards.sum())


def test_l0_takes_a_bounded_number_of_passes():
    net, x, y = conv_case(6, wrong=0)
    result = CarliniWagnerL0(L0())(net, x, y)
    assert bool(result.success.all())
    assert float(result.distance.max()) <= 3
    assert int(result.forwards.max()) <= 1000
