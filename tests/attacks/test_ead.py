"""EAD against closed forms, a grid, a solver's optimality conditions and a loop from the paper."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from linear import best_change, case, least_distance
from networks import Affine, conv_case, mlp

from saddlepoint.attacks import BinaryLogit
from saddlepoint.attacks.geometry.proximal import shrunk_into_box
from saddlepoint.attacks.minimum_norm.ead import EAD
from saddlepoint.errors import InputError
from saddlepoint.threat import L1, Rescaled

PUBLISHED = dict(EAD.paper_options)


def linear():
    """A network right on images whose nearest fooling points lie partly on the box; the optima."""
    w, x, _, _ = case(12, 1.0, "l1", count=10, near_bounds=True)
    least = (x + best_change(w, x, 100.0, "l1")) @ w
    bias = -float(least.max()) - 0.3 * float((x @ w - least).min())
    x = x[x @ w + bias > 0]
    optima = least_distance(w, x, bias, "l1")
    return Affine(w, bias), x, optima


def test_the_optimum_of_a_linear_network():
    net, x, optima = linear()
    labels = torch.zeros(len(x), dtype=torch.int64)
    result = EAD(L1(), steps=400)(net, x, labels)
    share = result.distance / optima
    assert len(x) > 4
    assert bool(result.success.all())
    assert float(share.min()) >= 0.999
    assert float(share.max()) <= 1.02


def test_with_two_classes_the_target_is_the_other_one():
    net, x, _ = linear()
    labels = torch.zeros(len(x), dtype=torch.int64)
    there, away = (EAD(L1(), steps=40)(net, x, labels, goals) for goals in (labels + 1, None))
    assert bool(there.success.all())
    assert torch.equal(there.adversarials, away.adversarials)


def test_curved_boundaries_in_two_dimensions():
    net = mlp(2, seed=3)
    x = torch.rand(12, 2, dtype=torch.float64, generator=torch.manual_seed(0))
    labels = net(x).argmax(1)
    distance = EAD(L1())(net, x, labels).distance
    axis = torch.linspace(0, 1, 200, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    other = net(grid).argmax(1)[None] != labels[:, None]
    away = (grid[None] - x[:, None]).abs().sum(2)
    least = torch.where(other, away, math.inf).amin(1)
    assert float((distance <= 1.02 * least).double().mean()) >= 0.75
    assert bool((distance >= least - 2 / 199).all())


@pytest.mark.parametrize("kappa", [0.0, 0.5])
def test_the_iterates_are_the_papers(kappa, monkeypatch):
    net, x, y = conv_case(3, torch.float64, wrong=0)
    steps, beta, c = 6, 1e-3, 10.0
    seen = []

    def spy(z, *rest):
        seen.append(shrunk_into_box(z, *rest))
        return seen[-1]

    monkeypatch.setattr("saddlepoint.attacks.minimum_norm.ead.shrunk_into_box", spy)
    options = {"steps": steps, "searches": 1, "initial_const": c, "beta": beta, "bisections": 0}
    EAD(L1(), confidence=kappa, **options)(net, x, y)
    rows = torch.arange(3)
    old = point = x
    for k in range(steps):
        z = point.clone().requires_grad_()
        logits = net(z)
        others = logits.scatter(1, y[:, None], -math.inf).amax(1)
        f = (logits[rows, y] - others + kappa).clamp_min(0)
        g = torch.autograd.grad(c * f.sum() + (z - x).square().sum(), z)[0]
        z = point - 0.01 * math.sqrt(1 - k / steps) * g
        new = torch.where(z - x > beta, (z - beta).clamp_max(1), x)
        new = torch.where(z - x < -beta, (z + beta).clamp_min(0), new)
        old, point = new, (new + k / (k + 3) * (new - old)).clamp(0, 1)
        assert torch.allclose(seen[k], new, rtol=0, atol=1e-9)
    assert not torch.equal(seen[0], x)


@settings(max_examples=60, deadline=None)
@given(x=st.floats(0, 1), z=st.floats(-2, 3), beta=st.floats(1e-3, 1.0))
def test_the_threshold_is_the_minimiser_in_the_box(x, z, beta):
    clean, zero = torch.tensor([[x]], dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)
    point = shrunk_into_box(clean * 0 + z, clean, beta, zero, zero + 1)
    v = torch.linspace(0, 1, 1001, dtype=torch.float64)
    least = float((beta * (v - x).abs() + 0.5 * (v - z) ** 2).min())
    assert float(beta * (point - clean).abs() + 0.5 * (point - z) ** 2) <= least + 1e-12


def test_confidence_is_kept():
    net, x, y = conv_case(4, wrong=0)
    plain, sure = (EAD(L1(), steps=40, confidence=kappa)(net, x, y) for kappa in (0.0, 1.0))
    logits = net(sure.adversarials)
    others = logits.scatter(1, y[:, None], -math.inf).amax(1)
    margin = logits.gather(1, y[:, None])[:, 0] - others
    assert bool(sure.success.all())
    assert float(margin.detach().max()) < -1.0
    assert bool((sure.distance > plain.distance).all())


def test_each_rule_is_best_by_its_own_measure():
    net, x, y = conv_case(4, wrong=0)
    options = {"steps": 30, "searches": 5, "beta": 5e-2, "bisections": 0, "tolerance": 0.0}
    l1, en = (EAD(L1(), rule=rule, **options)(net, x, y) for rule in ("l1", "en"))

    def score(result):
        change = (result.adversarials - x).flatten(1)
        return 5e-2 * change.abs().sum(1) + change.square().sum(1)

    assert bool((l1.distance <= en.distance + 1e-6).all())
    assert bool((score(en) <= score(l1) + 1e-6).all())
    assert not torch.equal(l1.adversarials, en.adversarials)


@pytest.mark.slow
def test_the_published_procedure_is_no_nearer_and_dearer():
    net, x, y = conv_case(4, wrong=0)
    default, published = (EAD(L1(), **o)(net, x, y) for o in ({}, PUBLISHED | {"searches": 4}))
    assert bool(published.success.all())
    assert float(default.distance.mean()) <= 1.05 * float(published.distance.mean())
    assert int(published.forwards.sum()) > 2 * int(default.forwards.sum())


def test_patience_and_tolerance_save_passes():
    net, x, y = conv_case(3, wrong=0)
    whole = EAD(L1(), steps=60, tolerance=0.0)(net, x, y)
    for options in ({"patience": 10, "tolerance": 0.0}, {"tolerance": 0.05}):
        short = EAD(L1(), steps=60, **options)(net, x, y)
        assert bool((short.backwards <= whole.backwards).all())
        assert int(short.backwards.sum()) < int(whole.backwards.sum())
        assert bool(short.success.all())


@pytest.mark.parametrize("options", [{"patience": 10}, {"rule": "en"}])
def test_a_result_does_not_depend_on_the_batch(options):
    net, x, y = conv_case(6, torch.float64)
    whole = EAD(L1(), steps=15, **options)(net, x, y)
    single = EAD(L1(), steps=15, **options)(net, x[4:5], y[4:5])
    assert torch.allclose(whole.adversarials[4], single.adversarials[0], rtol=0, atol=1e-9)
    assert int(whole.backwards[4]) == int(single.backwards[0])


def test_in_a_rescaled_space_all_are_fooled():
    net, x, y = conv_case(6, wrong=0)
    scaled = EAD(Rescaled.pixels(L1(), (0.5,) * 3, (0.25,) * 3), steps=40)(net, x, y)
    assert bool(scaled.success.all())


def test_a_single_logit():
    last = torch.nn.Linear(4, 1)
    torch.nn.init.ones_(last.weight)
    torch.nn.init.constant_(last.bias, -2.0)
    x, ones = torch.full((2, 4), 0.7), torch.tensor([1, 1])
    result = EAD(L1(), criterion=BinaryLogit())(last, x, ones)
    assert torch.allclose(result.distance, torch.tensor(0.8, dtype=torch.float64), rtol=0.02)


@pytest.mark.filterwarnings("ignore:the gradient was exactly 0")
def test_a_zero_gradient_costs_one_pass():
    net = Affine(torch.zeros(4), 1e-3)
    result = EAD(L1())(net, torch.rand(2, 4), torch.zeros(2, dtype=torch.int64))
    assert not bool(result.success.any())
    assert result.backwards.tolist() == [1, 1]


@pytest.mark.parametrize("scale", [1e-12, 1e6])
def test_the_scale_of_the_logits_does_not_matter(scale):
    net, x, optima = linear()
    labels = torch.zeros(len(x), dtype=torch.int64)
    scaled = Affine(net.weight.detach() * scale, net.bias.detach() * scale)
    result = EAD(L1())(scaled, x, labels)
    assert bool(result.success.all())
    assert float((result.distance / optima).median()) <= 1.05


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 0}, {"searches": 0}, {"initial_const": 0.0}, {"beta": -1.0}, {"patience": -1},
        {"step_size": math.inf}, {"confidence": -1.0}, {"tolerance": -0.1}, {"rule": "l2"},
        {"bisections": -1},
    ],
)  # fmt: skip
def test_impossible_options(options):
    with pytest.raises(InputError):
        EAD(L1(), **options)
