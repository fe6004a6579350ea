"""FMN in its four norms against closed forms, a grid of the plane, and the paper's loop in float64."""

from __future__ import annotations

import math

import pytest
import torch
from nearest import CURVED, fewest, plane_case, ratio
from networks import Affine, conv_case
from vanishing import Flat, Tiny

from saddlepoint.attacks.core.criteria import BinaryLogit
from saddlepoint.attacks.geometry.balls import largest_changes, onto_l1_ball
from saddlepoint.attacks.minimum_norm.fmn import FMN
from saddlepoint.errors import InputError
from saddlepoint.threat import L0, L1, L2, Box, Linf, Rescaled
from saddlepoint.threat.projections import project_l1

BALLS = {"l0": L0, "l1": L1, "l2": L2, "linf": Linf}
PUBLISHED = dict(FMN.paper_options)


@pytest.mark.parametrize("norm", BALLS)
@pytest.mark.parametrize(("d", "near"), [(12, False), (12, True), (192, True)])
@pytest.mark.parametrize("targeted", [False, True])
def test_on_a_linear_model_it_finds_the_nearest_point(norm, d, near, targeted):
    found = ratio(FMN(BALLS[norm](), bisections=15), d, norm, near, targeted)
    assert float(found.min()) >= 1 - 1e-6
    # L0 keeps one feature too many at times (measured: one of two on 12, mean 1.05; of 192, 1.08).
    most = 2.0 if d == 12 else 1.2
    assert float(found.max()) <= (most if norm == "l0" else 1.02)
    assert float(found.mean()) <= (1.1 if norm == "l0" else 1.01)


@pytest.mark.parametrize("p", [1.0, 2.0, math.inf])
@pytest.mark.parametrize("seed", CURVED[:2])
def test_in_the_plane_it_finds_the_nearest_point_of_most(p, seed):
    net, x, labels, nearest = plane_case(seed, p)
    threat = {1.0: L1(), 2.0: L2(), math.inf: Linf()}[p]
    result = FMN(threat, steps=100)(net, x, labels)
    assert bool((result.distance > nearest - 0.006).all())
    assert float((result.distance <= 1.02 * nearest).double().mean()) >= 0.6


def flat_norm(v, p):
    return torch.linalg.vector_norm(v.flatten(1), ord=p, dim=1)


def reference(net, x, y, steps, p, step_size, gamma):
    """The paper's Algorithm 1 in float64; returns the iterates."""
    one = (-1, 1, 1, 1)
    delta, found, iterates = torch.zeros_like(x), torch.zeros(len(x), dtype=torch.bool), []
    eps = torch.full((len(x),), 1.0 if p == 0 else math.inf, dtype=x.dtype)
    best = torch.full((len(x),), math.inf, dtype=x.dtype)
    for k in range(steps):
        z = (x + delta).requires_grad_()
        logits = net(z)
        iterates.append(z.detach())
        others = logits.scatter(1, y[:, None], -math.inf).amax(1)
        margin = logits.gather(1, y[:, None])[:, 0] - others
        (g,) = torch.autograd.grad(-margin.sum(), z)
        length = flat_norm(delta, p)
        fooled = margin.detach() < 0
        best = torch.where(fooled, torch.minimum(best, length), best)
        found |= fooled
        fall = (1 + math.cos(math.pi * k / steps)) / 2
        now = 0.001 + (gamma - 0.001) * fall
        alpha = step_size * (0.01 + 0.99 * fall)
        if p == 0:
            less = torch.minimum(torch.minimum(eps - 1, (eps * (1 - now)).floor()), best)
            eps = torch.where(fooled, less, torch.maximum(eps + 1, (eps * (1 + now)).floor()))
            eps = eps.clamp_min(1)
        else:
            dual = flat_norm(g, {1: math.inf, 2: 2, math.inf: 1}[p])
            ahead = length + margin.detach().abs() / dual
            eps = torch.where(
                fooled,
                torch.minimum(eps * (1 - now), best),
                torch.where(found, eps * (1 + now), ahead),
            )
        delta = delta + alpha * g / flat_norm(g, 2).reshape(one)
        if p == 2:
            delta = delta * (eps / flat_norm(delta, 2)).clamp_max(1).reshape(one)
        elif p == math.inf:
            delta = delta.sign() * torch.minimum(delta.abs(), eps.reshape(one))
        elif p == 1:
            wide = torch.full_like(delta.flatten(1), 1e9)
            delta = project_l1(delta.flatten(1), -wide, wide, eps).reshape(x.shape)
        else:
            rank = delta.abs().flatten(1).argsort(dim=1, descending=True).argsort(dim=1)
            delta = delta * (rank < eps[:, None]).reshape(x.shape)
        delta = (x + delta).clamp(0, 1) - x
    return [*iterates, x + delta]


@pytest.mark.parametrize("norm", BALLS)
@pytest.mark.parametrize("steps", [1, 3, 6])
def test_it_is_the_papers_loop(norm, steps):
    net, x, y = conv_case(8, torch.float64, wrong=0)
    attack = FMN(BALLS[norm](), steps=steps, step_size=0.5, gamma=0.2, **PUBLISHED)
    seen = []
    net.register_forward_pre_hook(lambda _net, inputs: seen.append(inputs[0].detach().clone()))
    attack(net, x, y)
    ours = seen[1 : steps + 2]  # the first pass is the judge's, of the clean images
    seen.clear()
    wanted = reference(net, x, y, steps, float(BALLS[norm].p), 0.5, 0.2)
    for a, b in zip(ours, wanted, strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-9)


@pytest.mark.parametrize("final_gamma", [0.001, 0.2])
def test_the_first_step_and_gamma_are_used(final_gamma):
    net, x, y = conv_case(8, torch.float64, wrong=0)
    base = FMN(L2(), steps=10, bisections=0)(net, x, y).distance
    for other in (
        FMN(L2(), steps=10, bisections=0, step_size=0.2),
        FMN(L2(), steps=10, bisections=0, gamma=0.3, final_gamma=final_gamma),
    ):
        assert not torch.allclose(other(net, x, y).distance, base, rtol=1e-4)
    one, ten = (FMN(Linf(), steps=5, step_size=a)(net, x, y) for a in (None, 10.0))
    assert torch.equal(one.distance, ten.distance)


def test_growth_frees_what_the_bounds_hold():
    """Half of the pixels are at the bound: the linearised distance stays too short for ever."""
    w = torch.cat([torch.full((8,), 3.0), torch.ones(8)]).double()
    x = torch.cat([torch.full((8,), 0.02), torch.full((8,), 0.9)]).double()[None]
    net = Affine(w, -4.0)
    held = FMN(L2(), steps=60, **PUBLISHED)(net, x, torch.tensor([0]))
    freed = FMN(L2(), steps=60)(net, x, torch.tensor([0]))
    assert not bool(held.success)
    assert bool(freed.success)


@pytest.mark.parametrize("seed", range(5))
def test_the_soft_threshold_is_the_projection_on_the_l1_ball(seed):
    generator = torch.Generator().manual_seed(seed)
    delta = torch.randn(6, 200, generator=generator, dtype=torch.float64) ** 3
    radius = 10.0 ** torch.arange(-3, 3, dtype=torch.float64)
    wide = torch.full_like(delta, 1e9)
    wanted = project_l1(delta, -wide, wide, radius)
    assert torch.allclose(onto_l1_ball(delta, radius), wanted, rtol=0, atol=1e-9)


def test_the_largest_pixels_are_kept_whole():
    delta = torch.tensor([[[3.0, 0.0, 1.0]], [[0.0, 2.0, 2.5]]]).reshape(1, 2, 1, 3)
    kept = largest_changes(delta, torch.tensor([1.0]), 2)
    assert torch.equal(kept.flatten(), torch.tensor([3.0, 0, 0, 0, 0, 0]))
    kept = largest_changes(delta, torch.tensor([2.0]), 2)
    assert torch.equal(kept.flatten(), torch.tensor([3.0, 0, 1, 0, 0, 2.5]))


def test_pixels_are_counted_as_pixels():
    generator = torch.Generator().manual_seed(2)
    w = torch.randn(3 * 16, generator=generator, dtype=torch.float64)
    x = torch.rand(8, 3, 4, 4, generator=generator, dtype=torch.float64)
    bias = float(-(x.flatten(1) @ w).min()) + 0.5
    result = FMN(L0(per="pixel"))(Affine(w, bias), x, torch.zeros(8, dtype=torch.int64))
    least = fewest(w, x.flatten(1), bias, channels=3)
    assert bool(result.success.all())
    assert bool((result.distance >= least).all())
    assert float((result.distance - least).mean()) <= 1


@pytest.mark.parametrize("norm", BALLS)
def test_targets_masks_and_normalised_space(norm):
    net, x, y = conv_case(8, torch.float64, wrong=0)
    attack, targets = FMN(BALLS[norm](), steps=40), (y + 2) % 5
    aimed = attack(net, x, y, targets)
    assert torch.equal(net(aimed.adversarials).argmax(1), targets)
    mask = torch.zeros(3, 8, 8, dtype=torch.bool)
    mask[:, :, :5] = True
    result, free = attack(net, x, y, mask=mask), attack(net, x, y)
    assert torch.equal(result.adversarials[..., 5:], x[..., 5:])
    assert bool(result.success.all())
    assert float(result.distance.mean()) > float(free.distance.mean())
    threat = Rescaled.pixels(BALLS[norm](), (0.5,) * 3, (0.25,) * 3)
    scaled = FMN(threat, steps=40)(net, x, y).distance
    factor = 1 if norm == "l0" else 4
    assert float((scaled / free.distance).mean()) == pytest.approx(factor, rel=0.2)


def test_starts_that_fool_are_where_the_search_begins():
    """The margin is flat at the image, so only the start shows the way."""

    class Far(torch.nn.Module):
        def forward(self, x):
            return torch.stack([2 + 0 * x.sum(1), 10 * (x.sum(1) - 1.5).clamp_min(0)], 1)

    x, y = torch.full((1, 4), 0.25), torch.tensor([0])
    result = FMN(L2(), steps=20)(Far(), x, y, starts=torch.ones(1, 4))
    assert float(result.distance) == pytest.approx(0.35, rel=5e-3)
    assert bool(FMN(L2(), steps=5)(Far(), x, y, starts=x + 0.01).adversarials.isfinite().all())


def test_one_logit():
    class One(torch.nn.Module):
        def forward(self, x):
            return 3 * x.sum(1, keepdim=True) - 3

    x, y = torch.tensor([[0.7, 0.8], [0.2, 0.3]]), torch.tensor([1, 0])
    result = FMN(Linf(), criterion=BinaryLogit())(One(), x, y)
    assert torch.allclose(result.distance, torch.tensor([0.25, 0.25]).double(), rtol=2e-3)


@pytest.mark.parametrize("norm", BALLS)
def test_no_gradient_and_next_to_none(norm):
    x, y = torch.full((2, 1, 2, 2), 0.5), torch.tensor([0, 0])
    with pytest.warns(UserWarning, match="exactly 0"):
        result = FMN(BALLS[norm](), steps=5)(Flat(), x, y)
    assert bool(result.adversarials.isfinite().all())
    assert bool(FMN(BALLS[norm](), steps=5).candidates(Tiny(), x, y).isfinite().all())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"step_size": 0.0}, "step_size is 0.0"),
        ({"gamma": 0.0}, "gamma is 0.0"),
        ({"final_gamma": 1.0}, "final_gamma is 1.0"),
        ({"unfooled": "wait"}, 'unfooled is "wait"'),
        ({"bisections": -1}, "bisections is -1"),
    ],
)
def test_impossible_settings_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        FMN(L2(), **options)


def test_a_box_has_no_norm():
    with pytest.raises(InputError, match="no Box form"):
        FMN(Box(0.0, 1.0))
