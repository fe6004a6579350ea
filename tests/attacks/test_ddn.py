"""DDN against closed forms, a grid of the plane, and the paper's loop in float64."""

from __future__ import annotations

import math

import pytest
import torch
from nearest import CURVED, plane_case, ratio
from networks import Affine, conv_case
from vanishing import Flat, Tiny

from saddlepoint.attacks.core.criteria import BinaryLogit
from saddlepoint.attacks.minimum_norm.ddn import DDN
from saddlepoint.errors import InputError
from saddlepoint.threat import L2, Linf, Rescaled

PUBLISHED = dict(DDN.paper_options)
CASES = [(12, False), (12, True), (192, True)]


@pytest.mark.parametrize(("d", "near"), CASES)
@pytest.mark.parametrize("targeted", [False, True])
def test_on_a_linear_model_it_finds_the_nearest_point(d, near, targeted):
    found = ratio(DDN(L2(), steps=100, bisections=15), d, "l2", near, targeted)
    assert float(found.min()) >= 1 - 1e-6
    assert float(found.max()) <= 1.002


@pytest.mark.parametrize("loss", ["cross-entropy", "margin"])
@pytest.mark.parametrize("radius", [None, 0.1, 1.0])
def test_the_published_settings_come_near_too(loss, radius):
    found = ratio(DDN(L2(), **PUBLISHED | {"loss": loss, "radius": radius}), 12, "l2", True)
    assert float(found.min()) >= 1 - 1e-6
    assert float(found.median()) <= 1.02  # γ leaves them up to 5 % off, and a few further


@pytest.mark.parametrize("seed", CURVED)
def test_in_the_plane_it_finds_the_nearest_point_of_most(seed):
    net, x, labels, nearest = plane_case(seed, 2.0)
    found = DDN(L2(), steps=200)(net, x, labels).distance
    assert bool((found > nearest - 0.004).all())
    assert float((found <= 1.02 * nearest).double().mean()) >= 0.7


def reference(net, x, y, steps, step_size, gammas, first, haste=1.0):
    """The paper's Algorithm 1, of the change in float64; returns the iterates. `haste` is ours."""
    delta, radius, iterates = torch.zeros_like(x), first, []
    found = torch.zeros(len(x), dtype=torch.bool)
    for k in range(steps):
        z = (x + delta).requires_grad_()
        logits = net(z)
        iterates.append(z.detach())
        loss = torch.nn.functional.cross_entropy(logits, y, reduction="sum")
        (g,) = torch.autograd.grad(loss, z)
        fall = (1 + math.cos(math.pi * k / steps)) / 2
        alpha = step_size * (0.01 + 0.99 * fall)
        gamma = gammas[1] + (gammas[0] - gammas[1]) * fall
        delta = delta + alpha * g / g.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)
        held = logits.argmax(1) == y
        found |= ~held
        growth = torch.where(found, radius.new_tensor(gamma), min(gamma * haste**k, 1.0))
        radius = torch.where(held, radius * (1 + growth), radius * (1 - gamma))
        delta = delta * (radius / delta.flatten(1).norm(dim=1)).reshape(-1, 1, 1, 1)
        delta = (x + delta).clamp(0, 1) - x
    return [*iterates, x + delta]


@pytest.mark.parametrize("steps", range(1, 7))
@pytest.mark.parametrize(
    ("gammas", "haste"), [((0.05, 0.05), 1), ((0.3, 0.01), 1), ((0.3, 0.01), 1.5)]
)
def test_it_is_the_papers_loop(steps, gammas, haste):
    net, x, y = conv_case(8, torch.float64, wrong=0)
    first = 0.3
    options = PUBLISHED | {"radius": first, "gamma": gammas[0], "final_gamma": gammas[1]}
    options["haste"] = haste
    attack = DDN(L2(), steps=steps, step_size=0.5, **options)
    seen = []
    net.register_forward_pre_hook(lambda _net, inputs: seen.append(inputs[0].detach().clone()))
    attack(net, x, y)
    ours = seen[1 : steps + 2]  # the first pass is the judge's, of the clean images
    seen.clear()
    radius = torch.full((8,), first, dtype=torch.float64)
    wanted = reference(net, x, y, steps, 0.5, gammas, radius, haste)
    for a, b in zip(ours, wanted, strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-10)


def test_the_kept_point_is_the_nearest_that_fooled():
    net, x, y = conv_case(16, torch.float64, wrong=0)
    attack = DDN(L2(), **PUBLISHED, steps=30)
    result = attack(net, x, y)
    radius = torch.ones(16, dtype=torch.float64)
    iterates = reference(net, x, y, 30, 1.0, (0.05, 0.05), radius)
    lengths = torch.stack(
        [
            torch.where(net(z).argmax(1) != y, (z - x).flatten(1).norm(dim=1), torch.inf)
            for z in iterates
        ]
    )
    assert torch.allclose(result.distance, lengths.amin(0).detach(), rtol=1e-6)


class Bend(torch.nn.Module):
    """Steep at the image and flat beyond: the boundary is at `far`, the linearised one at 0.05."""

    def __init__(self, far):
        super().__init__()
        self.far = far

    def forward(self, z):
        way = z[:, 0] - 0.1
        flat = 0.1 * (self.far - way) / (self.far - 0.045)
        return torch.stack([3 * torch.maximum(1 - way / 0.05, flat), 0 * way], dim=1)


@pytest.mark.parametrize(("far", "goes_on"), [(0.5, True), (0.0501, False)])
def test_where_the_boundary_is_far_the_second_half_goes_on(far, goes_on):
    net, seen = Bend(far), []
    net.register_forward_pre_hook(lambda _net, inputs: seen.append(inputs[0].detach().clone()))
    x, y = torch.full((1, 3), 0.1, dtype=torch.float64), torch.zeros(1, dtype=torch.int64)
    found = DDN(L2(), steps=40, bisections=12)(net, x, y)
    clean = [i for i, z in enumerate(seen) if torch.equal(z, x)]
    assert bool(found.success.all())
    assert float(found.distance) <= 1.05 * far
    # the judge's pass and the first step are of the clean image, and the second half's where it is near
    assert any(10 < i < 40 for i in clean) is not goes_on


def test_the_defaults_are_nearer_than_the_published_settings():
    net, x, y = conv_case(12, torch.float64, wrong=0)
    ours, published = (DDN(L2(), **o)(net, x, y).distance for o in ({}, PUBLISHED))
    assert float(ours.mean()) < 0.999 * float(published.mean())


def test_passes_are_counted_and_bisection_never_lengthens():
    net, x, y = conv_case(16, torch.float64, wrong=2)
    rough, fine = (DDN(L2(), steps=10, bisections=n)(net, x, y) for n in (0, 7))
    assert bool((fine.distance <= rough.distance).all())
    assert rough.forwards.tolist() == [2] * 2 + [14] * 14
    assert fine.forwards[:2].tolist() == [2] * 2
    extra = fine.forwards[2:] - 14
    assert 1 <= int(extra.min()) <= int(extra.max()) <= 7
    assert int(extra.min()) < 7, "who is at the boundary takes no more"
    assert fine.backwards.tolist() == [0] * 2 + [10] * 14


def test_targets_are_reached():
    net, x, y = conv_case(12, torch.float64, wrong=0)
    targets = (y + 2) % 5
    result = DDN(L2(), steps=50)(net, x, y, targets)
    untargeted = DDN(L2(), steps=50)(net, x, y)
    assert bool(result.success.all())
    assert torch.equal(net(result.adversarials).argmax(1), targets)
    assert float(result.distance.mean()) > float(untargeted.distance.mean())


def test_a_mask_is_kept_and_costs_distance():
    net, x, y = conv_case(12, torch.float64, wrong=0)
    mask = torch.zeros(3, 8, 8, dtype=torch.bool)
    mask[:, :, :4] = True
    attack = DDN(L2(), steps=50)
    result, free = attack(net, x, y, mask=mask), attack(net, x, y)
    assert torch.equal(result.adversarials[..., 4:], x[..., 4:])
    assert bool(result.success.all())
    assert bool((result.distance > free.distance).all())


def test_normalised_space_is_measured_in_its_own_units():
    net, x, y = conv_case(4, torch.float64, wrong=0)
    threat = Rescaled.pixels(L2(), (0.5,) * 3, (0.25,) * 3)
    scaled, plain = DDN(threat)(net, x, y), DDN(L2())(net, x, y)
    assert bool(scaled.success.all())
    assert float((scaled.distance / plain.distance).mean()) == pytest.approx(4, rel=0.05)


def test_one_logit():
    class One(torch.nn.Module):
        def forward(self, x):
            return 3 * x.sum(1, keepdim=True) - 3

    x, y = torch.tensor([[0.7, 0.8], [0.2, 0.3]]), torch.tensor([1, 0])
    result = DDN(L2(), criterion=BinaryLogit())(One(), x, y)
    assert torch.allclose(result.distance, torch.tensor([0.5, 0.5]).double() / 2**0.5, rtol=2e-3)


def test_no_gradient_and_next_to_none():
    x, y = torch.full((2, 1, 2, 2), 0.5), torch.tensor([0, 0])
    with pytest.warns(UserWarning, match="exactly 0"):
        result = DDN(L2(), steps=5)(Flat(), x, y)
    assert bool(result.adversarials.isfinite().all())
    for loss in ("margin", "cross-entropy"):
        moved = DDN(L2(), steps=5, loss=loss).candidates(Tiny(), x, y)
        assert bool(moved.isfinite().all())


class Plateau(torch.nn.Module):
    """Flat around the image, and steep further off."""

    def forward(self, x):
        far = (x.flatten(1) - 0.5).square().sum(1)
        return torch.stack([2.0 + 0 * far, 20 * (far - 0.01).clamp_min(0)], 1)


def test_a_plateau_is_left_in_a_random_direction():
    x, y = torch.full((3, 1, 4, 4), 0.5), torch.zeros(3, dtype=torch.int64)
    result = DDN(L2(), radius=0.2)(Plateau(), x, y, seed=1)
    assert torch.allclose(result.distance, torch.full((3,), 0.11**0.5).double(), rtol=5e-3)
    again = DDN(L2(), radius=0.2)(Plateau(), x[1:2], y[1:2], seed=1, ids=torch.tensor([1]))
    assert torch.allclose(again.adversarials[0], result.adversarials[1], atol=1e-6)


def test_a_tie_is_left():
    net = Affine(torch.tensor([1.0, -2.0]))
    result = DDN(L2())(net, torch.tensor([[0.4, 0.2]]), torch.tensor([0]))
    assert float(result.distance) < 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"gamma": 1.0}, "gamma is 1.0"),
        ({"final_gamma": -0.1}, "final_gamma is -0.1"),
        ({"radius": 0.0}, "is 0.0; give a positive"),
        ({"step_size": -1.0}, "step_size is -1.0"),
        ({"loss": "hinge"}, 'loss is "hinge"'),
        ({"bisections": -1}, "bisections is -1"),
    ],
)
def test_impossible_settings_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        DDN(L2(), **options)


def test_other_norms_and_budgets_are_refused():
    with pytest.raises(InputError, match="no Linf form"):
        DDN(Linf())
    with pytest.raises(InputError, match="without a budget"):
        DDN(L2(0.5))
