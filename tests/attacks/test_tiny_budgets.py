"""At budgets of a few roundings of float32 successes are inside the ball, and there are as many as
an honest step reaches.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from saddlepoint.attacks import (
    APGD,
    BIM,
    DDN,
    FGSM,
    FMN,
    MIFGSM,
    PGD,
    AtBudget,
    Restarted,
    Square,
    foreign,
)
from saddlepoint.evaluation import rejudge
from saddlepoint.threat import L1, L2, Box, Linf, Rescaled

N, SHAPE = 120, (1, 3, 4)
BALLS = {"linf": Linf, "l2": L2, "l1": L1}


class Near(nn.Module):
    """In float64, a linear boundary at the part `share` of the way to what the budget reaches."""

    def __init__(self, x, reach, seed=0, share=0.6):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.w = nn.Parameter(torch.randn(x[0].numel(), generator=generator, dtype=torch.float64))
        self.register_buffer("c", x.flatten(1).double() @ self.w.detach())
        self.reach = share * reach(self.w.detach())

    def forward(self, images):
        z = images.flatten(1).double() @ self.w
        nearest = (z[:, None] - self.c[None]).abs().argmin(1)
        margin = (self.c[nearest] + self.reach - z) / self.reach
        return torch.stack([margin, -margin], 1)


def images(low=0.45, high=0.95):
    generator = torch.Generator().manual_seed(1)
    return low + (high - low) * torch.rand(N, *SHAPE, generator=generator)


def case(norm, eps, share=0.6, x=None):
    """Images, labels, a model, and which images an honest full step, rounded inwards, fools."""
    x = images() if x is None else x
    dual = {
        "linf": lambda w: w.abs().sum(),
        "l2": lambda w: w.norm(),
        "l1": lambda w: w.abs().max(),
    }
    net = Near(x, lambda w: eps * dual[norm](w), share=share)
    w = net.w.detach().reshape(SHAPE)
    unit = {
        "linf": w.sign(),
        "l2": w / w.norm(),
        "l1": w.sign() * (w.abs() == w.abs().max()),
    }[norm]
    full = (x.double() + eps * unit).float()
    too_far = (full.double() - x.double()).abs() > eps * unit.abs()
    full = torch.where(too_far, torch.nextafter(full, x), full)
    with torch.no_grad():
        return x, torch.zeros(N, dtype=torch.int64), net, net(full).argmax(1) == 1


def measured(x, result, norm):
    p = {"linf": float("inf"), "l2": 2, "l1": 1}[norm]
    change = (result.adversarials.double() - x.double()).flatten(1)
    return torch.linalg.vector_norm(change, p, dim=1)


FIRST_ORDER = {
    "fgsm": FGSM,
    "bim": BIM,
    "mi-fgsm": MIFGSM,
    "pgd": PGD,
    "pgd-100": lambda threat: PGD(threat, steps=100),
    "apgd": lambda threat: APGD(threat, steps=20),
}


@pytest.mark.parametrize("eps", [1e-7, 1e-6, 1e-4])
@pytest.mark.parametrize("norm", BALLS)
@pytest.mark.parametrize("name", FIRST_ORDER)
def test_first_order_attacks(name, norm, eps):
    x, y, net, honest = case(norm, eps)
    for budget in (eps, torch.full((N,), eps, dtype=torch.float64)):
        result = FIRST_ORDER[name](BALLS[norm](budget))(net, x, y)
        won = result.success & ~result.initially_wrong
        assert float(measured(x, result, norm)[won].max() if won.any() else 0) <= eps
        assert int(won.sum()) >= int((honest & ~result.initially_wrong).sum()) * 0.98
        assert not bool(result.rejected.any())
    if norm == "linf" or eps > 1e-6:
        assert int(won.sum()) > 0


@pytest.mark.parametrize("eps", [1e-7, 1e-6, 1e-4])
def test_random_search_and_corners(eps):
    x, y, net, honest = case("linf", eps, share=0.3)
    for attack in (Square(Linf(eps), queries=60), Restarted(PGD(Linf(eps), steps=4), 3)):
        result = attack(net, x, y)
        won = result.success & ~result.initially_wrong
        assert float(measured(x, result, "linf")[won].max()) <= eps
        assert int(won.sum()) >= 0.9 * int((honest & ~result.initially_wrong).sum())


@pytest.mark.parametrize("eps", [1e-6, 1e-5])
def test_square_in_l2_loses_no_candidate_to_rounding(eps):
    x, y, net, _ = case("l2", eps, share=0.2)
    result = Square(L2(eps), queries=100)(net, x, y)
    won = result.success & ~result.initially_wrong
    assert not bool(result.rejected.any())
    assert int(won.sum()) > N // 4
    assert float(measured(x, result, "l2").max()) <= eps


def test_a_minimum_norm_attack_with_a_budget():
    for norm, attack, eps in (("l2", DDN(L2()), 1e-5), ("linf", FMN(Linf()), 1e-5)):
        x, y, net, honest = case(norm, eps)
        result = AtBudget(attack, BALLS[norm](eps))(net, x, y)
        won = result.success & ~result.initially_wrong
        assert float(measured(x, result, norm)[won].max()) <= eps
        assert int(won.sum()) >= 0.9 * int((honest & ~result.initially_wrong).sum())


@pytest.mark.parametrize(("low", "high"), [(-2.0, 2.0), (0.0, 255.0)])
def test_other_ranges(low, high):
    x = images(low + 0.1 * (high - low), high - 0.1 * (high - low))
    eps = 1e-6 * (high - low)
    x, y, net, honest = case("linf", eps, x=x)
    for attack in (FGSM, PGD):
        result = attack(Linf(eps, low, high))(net, x, y)
        won = result.success & ~result.initially_wrong
        assert float(measured(x, result, "linf").max()) <= eps
        assert int(won.sum()) >= int((honest & ~result.initially_wrong).sum())


@pytest.mark.parametrize("eps", [1e-6, 1e-5, 1e-3])
def test_in_normalised_space(eps):
    std = 0.2
    x, y, net, honest = case("linf", eps * std)
    result = PGD(Rescaled.pixels(Linf(eps), (0.5,), (std,)))(net, x, y)
    won = result.success & ~result.initially_wrong
    assert float(measured(x, result, "linf").max()) <= eps * std * (1 + 1e-12)
    assert int(won.sum()) >= int((honest & ~result.initially_wrong).sum())


def test_a_box_of_a_few_roundings():
    x, y, net, honest = case("linf", 1e-6)
    low, high = x.double() - 1e-6, x.double() + 1e-6
    result = PGD(Box(low, high))(net, x, y)
    found = result.adversarials.double()
    assert bool(((found >= low) & (found <= high)).all())
    assert int(result.success.sum()) >= int(honest.sum())


@pytest.mark.parametrize("eps", [1e-7, 1e-5, 1e-3])
def test_what_others_offer_counts_within_the_rounding_of_a_pixel(eps):
    """Not within the absolute 1e-6 that once was added: it was ten times a budget of 1e-7."""
    x, y, net, honest = case("linf", eps)
    w = net.w.detach().sign().reshape(SHAPE)

    def beyond(model, clean, labels):
        return (clean.double() + (eps + 9e-7) * w).float().clamp(0, 1)

    def nearest(model, clean, labels):
        return (clean.double() + eps * w).float().clamp(0, 1)

    for offer, counts in ((beyond, False), (nearest, True)):
        result = foreign(offer, Linf(eps))(net, x, y)
        won = result.success & ~result.initially_wrong
        assert float(measured(x, result, "linf").max()) <= eps * (1 + 1e-6) + 6e-8
        audit = rejudge(net, x, y, offer(net, x, y), Linf(eps))
        assert torch.equal(audit.result.success, result.success)
        if counts:
            assert bool(audit.within_budget.all())
            assert int(won.sum()) >= int((honest & ~result.initially_wrong).sum())
        elif eps > 1e-6:
            assert not bool(audit.within_budget.any())
