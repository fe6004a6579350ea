"""C&W L0 against brute force, and Linf against the closed form."""

from __future__ import annotations

import pytest
import torch
from networks import Affine, conv_case

from saddlepoint.attacks.minimum_norm.carlini_wagner.l0 import CarliniWagnerL0
from saddlepoint.attacks.minimum_norm.carlini_wagner.linf import CarliniWagnerLinf
from saddlepoint.errors import InputError
from saddlepoint.threat import L0, Linf


def linear_case():
    generator = torch.Generator().manual_seed(5)
    w = torch.randn(8, generator=generator, dtype=torch.float64)
    x = torch.rand(6, 8, generator=generator, dtype=torch.float64)
    return w, x, float(0.4 - (x @ w).min())


@pytest.mark.parametrize("steps", [150, pytest.param(1000, marks=pytest.mark.slow)])
def test_l0_is_within_one_feature_of_the_least_number(steps):
    w, x, bias = linear_case()
    result = CarliniWagnerL0(L0(), steps=steps)(
        Affine(w, bias), x, torch.zeros(6, dtype=torch.int64)
    )
    drop = torch.where(w > 0, w * x, w * (x - 1)).sort(dim=1, descending=True).values.cumsum(1)
    clean = (x @ w + bias)[:, None]
    possible = (drop > clean).any(1)
    least = 1 + (drop <= clean).sum(1)
    assert bool(possible.any())
    assert torch.equal(result.success, possible)
    assert bool((result.distance[possible] >= least[possible]).all())
    assert bool((result.distance[possible] <= least[possible] + 1).all())


@pytest.mark.parametrize("steps", [30, pytest.param(1000, marks=pytest.mark.slow)])
def test_linf_is_within_two_percent_of_the_closed_form(steps):
    w, x, bias = linear_case()
    x = 0.4 + 0.2 * x  # no bound is active
    bias = float(0.3 - (x @ w).min())
    result = CarliniWagnerLinf(Linf(), steps=steps)(
        Affine(w, bias), x, torch.zeros(6, dtype=torch.int64)
    )
    exact = (x @ w + bias) / w.abs().sum()
    near = exact < 0.39
    assert bool(near.any())
    share = result.distance[near] / exact[near]
    assert float(share.min()) >= 0.999
    assert float(share.max()) <= 1.02


@pytest.mark.parametrize(
    "attack",
    [CarliniWagnerL0(L0(per="pixel"), steps=30), CarliniWagnerLinf(Linf(), steps=20, rounds=6)],
)
def test_both_fool_a_network_whatever_the_batch(attack):
    net, x, y = conv_case(4, torch.float64, wrong=1)
    whole = attack(net, x, y)
    assert bool(whole.success.all())
    alone = attack(net, x[2:3], y[2:3], ids=torch.tensor([2]))
    assert torch.allclose(alone.adversarials[0], whole.adversarials[2], atol=1e-9)


def test_impossible_options_are_refused():
    with pytest.raises(InputError, match="factor"):
        CarliniWagnerLinf(Linf(), factor=1.0)
    with pytest.raises(InputError, match="share"):
        CarliniWagnerL0(L0(), share=0.0)
