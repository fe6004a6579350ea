"""DeepFool against the published formula, the exact optimum of affine models, and awkward ones."""

from __future__ import annotations

import math

import pytest
import torch
from affine import affine, optimum
from networks import Affine, conv_case, mlp
from torch import nn

from saddlepoint.attacks import Batch, BinaryLogit, Misclassified, OutsideTopK
from saddlepoint.attacks.core.linearise import linearise, rivals
from saddlepoint.attacks.geometry.boundaries import Boundaries
from saddlepoint.attacks.minimum_norm.deepfool import DeepFool, Known
from saddlepoint.errors import InputError
from saddlepoint.model import Guard
from saddlepoint.streams import Keys
from saddlepoint.threat import L1, L2, Linf, Rescaled

BALLS = (L2, Linf)
FREE = {"lower": -math.inf, "upper": math.inf}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("ball", BALLS)
def test_affine_models_are_fooled_at_the_optimum_of_boundary_and_range(ball, classes, dtype):
    net, x, y = affine(classes, dtype=dtype)
    result = DeepFool(ball())(net, x, y)
    ratio = result.distance / optimum(net, x, y, ball.p)
    assert bool(result.success.all())
    assert 0.999 <= float(ratio.min()) <= float(ratio.max()) <= 1.02
    published = DeepFool(ball(), bisections=0)(net, x, y)
    assert bool((result.distance <= published.distance).all())


@pytest.mark.parametrize("ball", BALLS)
def test_as_published_one_step_goes_beyond_by_the_overshoot(ball):
    net, x, y = affine(4, clamp=False)
    free = Rescaled(ball(**FREE), (0.0,), (1.0,))
    for overshoot in (0.02, 0.5):
        result = DeepFool(free, bisections=0, overshoot=overshoot)(net, x, y)
        least = optimum(net, x, y, ball.p, -math.inf, math.inf)
        assert torch.allclose(result.distance, (1 + overshoot) * least, rtol=3e-3)
        assert bool((result.forwards == 4).all())  # clean, two iterates, the judge
        assert bool((result.backwards == 6).all())


def test_the_loop_is_the_published_one():
    net = mlp(6, classes=3)
    x = torch.rand(12, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    y = net(x).argmax(1)
    result = DeepFool(L2(), bisections=0)(net, x, y)
    for i in range(len(x)):
        point, total = x[i], torch.zeros(6, dtype=torch.float64)
        for _ in range(50):
            z = net(point[None])[0].detach()
            if int(z.argmax()) != int(y[i]):
                break
            rows = torch.autograd.functional.jacobian(lambda v: net(v[None])[0], point)
            steps = []
            for k in range(3):
                if k != int(y[i]):
                    w, f = rows[k] - rows[y[i]], z[k] - z[y[i]]
                    steps.append((f.abs() / w.norm(), f.abs() / w.norm() ** 2 * w))
            total = total + min(steps, key=lambda pair: float(pair[0]))[1]
            point = (x[i] + 1.02 * total).clamp(0, 1)
        assert torch.allclose(result.adversarials[i], point, atol=2e-3)


def test_few_classes_are_the_highest_and_cost_a_backward_pass_each():
    net, x, y = affine(10)
    with Guard(net, len(x)) as guard:
        keys, rows = Keys(0, torch.arange(len(x))), torch.arange(len(x))
        batch = Batch(guard, L2(), Misclassified(), x, y, keys, rows)
        near = linearise(batch, x, 3)
        order = net(x).argsort(dim=1, descending=True)
        assert torch.equal(near.classes, order[:, 1:4])
        assert bool((guard.backwards == 3).all())
        w = net.weight.detach()
        assert torch.allclose(near.normals, (w[y][:, None] - w[near.classes]))
        assert torch.equal(rivals(batch, near.logits, 99), order[:, 1:])
    one = DeepFool(L2(), classes=1, bisections=0)(net, x, y)
    every = DeepFool(L2(), bisections=0)(net, x, y)
    assert float(one.distance.mean()) > float(every.distance.mean())
    assert float(one.backwards.double().mean()) < float(every.backwards.double().mean()) / 3


def test_later_steps_look_at_the_nearest_boundaries_by_the_known_lengths():
    net, x, y = conv_case(24, torch.float64)
    few, every, one = (DeepFool(L2(), bisections=0, nearest=n)(net, x, y) for n in (2, 9, 1))
    ours = ~few.initially_wrong
    steps = few.forwards[ours] - 2  # but for the clean pass and the judge
    assert bool((few.backwards[ours] == 4 + 2 * (steps - 1)).all())
    assert bool((every.backwards[ours] == 4 * (every.forwards[ours] - 2)).all())
    assert float(few.distance.mean()) <= 1.01 * float(every.distance.mean())
    assert float(one.distance.mean()) <= 1.1 * float(every.distance.mean())
    known = Known(torch.tensor([[3, 1, 2]]), torch.tensor([[1.0, 2.0, 8.0]]))
    near = linearised(torch.tensor([[2, 3]]))
    assert torch.equal(
        known.update(near, torch.tensor([[5.0, 6.0]])).sizes, known.sizes.new_tensor([[6, 2, 5]])
    )


def linearised(classes):
    """Boundaries of which only the classes matter."""
    empty = torch.zeros(1, 2)
    return Boundaries(empty, empty, classes, empty, torch.zeros(1, 2, 2), torch.zeros(1))


@pytest.mark.parametrize("ball", BALLS)
def test_what_the_published_steps_do_not_reach_is_projected(ball):
    """Almost all of every published step is cut off: after three, only the projection crosses."""
    weight = torch.cat([torch.full((20,), 3.0), torch.full((20,), 0.1)]).double()
    x = torch.cat([torch.zeros(20), torch.full((20,), 0.8)])[None].double()
    net, y = Affine(weight, -0.4), torch.tensor([0])
    result = DeepFool(ball(), steps=3)(net, x, y)
    assert bool(result.success)
    assert float(result.distance / optimum(net, x, y, ball.p)) <= 1.02
    assert int(result.backwards) > 4


@pytest.mark.parametrize("ball", BALLS)
def test_a_target_is_reached_and_two_classes_at_the_optimum(ball):
    net, x, y = affine(5)
    targets = (y + 2) % 5
    result = DeepFool(ball())(net, x, y, targets)
    hit = net(result.adversarials).argmax(1) == targets
    assert bool((hit == result.success).all())
    assert float(result.success.double().mean()) > 0.9
    net, x, y = affine(2)
    result = DeepFool(ball())(net, x, y, 1 - y)
    ratio = result.distance / optimum(net, x, y, ball.p)
    assert 0.999 <= float(ratio.min()) <= float(ratio.max()) <= 1.02


def test_one_logit_and_top_k_have_a_boundary_of_their_own():
    net, x, y = affine(2)
    single = nn.Sequential(net, nn.Linear(2, 1, bias=False, dtype=torch.float64))
    single[1].weight.data = torch.tensor([[-1.0, 1.0]], dtype=torch.float64)
    result = DeepFool(L2(), criterion=BinaryLogit())(single, x, y)
    assert torch.allclose(result.distance, DeepFool(L2())(net, x, y).distance, rtol=1e-3)
    net, x, y = affine(6)
    result = DeepFool(L2(), criterion=OutsideTopK(2))(net, x, y)
    ranks = (net(result.adversarials) > net(result.adversarials).gather(1, y[:, None])).sum(1)
    assert bool(result.success.all())
    assert bool((ranks >= 2).all())


def test_masked_features_stay_and_normalised_budgets_are_measured_there():
    net, x, y = affine(2)
    mask = torch.arange(20) % 2 == 0
    result = DeepFool(L2())(net, x, y, mask=mask)
    some = result.success
    assert int(some.sum()) > 5
    assert torch.equal(result.adversarials[:, ~mask], x[:, ~mask])
    weight = net.weight.detach()[:, mask]
    bias = (x[:, ~mask] @ net.weight.detach()[:, ~mask].T)[some]
    least = torch.stack(
        [
            optimum(Affine(weight, b), x[i : i + 1, mask], y[i : i + 1], 2)[0]
            for b, i in zip(bias, some.nonzero()[:, 0].tolist(), strict=True)
        ]
    )
    assert float((result.distance[some] / least).max()) <= 1.02
    images, scaled = x.reshape(-1, 1, 4, 5), Rescaled.pixels(L2(), (0.4,), (0.25,))
    shaped = DeepFool(scaled)(net, images, y)
    assert torch.allclose(shaped.distance / 4, DeepFool(L2())(net, x, y).distance, rtol=1e-2)


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e25])
@pytest.mark.parametrize("ball", BALLS)
@pytest.mark.filterwarnings("ignore:the gradient was exactly 0")
def test_gradients_of_any_size_leave_numbers(ball, scale):
    net, x, y = affine(3, dtype=torch.float32)
    scaled = Affine(net.weight.detach() * scale, net.bias.detach() * scale)
    result = DeepFool(ball())(scaled, x, y if scale else torch.zeros_like(y))
    assert bool(result.adversarials.isfinite().all())
    assert bool(result.success.all()) == bool(scale)
    if scale == 0:
        assert bool((result.backwards <= 2).all())  # nothing leads anywhere: it leaves at once


def test_steep_and_flat_parts_together_leave_numbers():
    free = Rescaled(L2(**FREE), (0.0,), (1.0,))
    net = Affine(torch.tensor([1e-30, 0.0, 0.0]), 3.0)
    result = DeepFool(free)(net, torch.full((1, 3), 0.5), torch.tensor([0]))
    assert bool(result.adversarials.isfinite().all())


def test_curved_boundaries_are_crossed_nearer_than_as_published():
    net = mlp(12, classes=4)
    x = torch.rand(40, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    y = net(x).argmax(1)
    for ball in BALLS:
        fine, rough = (DeepFool(ball(), bisections=n)(net, x, y) for n in (10, 0))
        assert bool(fine.success.all())
        assert float(fine.distance.mean()) < 0.995 * float(rough.distance.mean())


def test_starts_do_not_keep_a_sample_from_being_attacked():
    net, x, y = affine(2)
    far = torch.where(net.weight[y] > net.weight[1 - y], 0.0, 1.0).double()
    result = DeepFool(L2())(net, x, y, starts=far)
    assert torch.allclose(result.distance, DeepFool(L2())(net, x, y).distance, rtol=1e-6)


def test_impossible_options_are_refused():
    for options in (
        {"steps": 0},
        {"classes": 0},
        {"nearest": 0},
        {"overshoot": 0.0},
        {"bisections": -1},
    ):
        with pytest.raises(InputError, match=next(iter(options))):
            DeepFool(L2(), **options)
    with pytest.raises(InputError, match="L1"):
        DeepFool(L1())
    with pytest.raises(InputError, match="without a budget"):
        DeepFool(L2(0.5))
