"""Square against what is known: corners of linear models, the paper's step in loops, rounding."""

from __future__ import annotations

import math

import pytest
import torch
from linear import case
from networks import Affine, conv_case

from saddlepoint.attacks import BinaryLogit, UniformNoise
from saddlepoint.attacks.fixed_budget import square_windows as module
from saddlepoint.attacks.fixed_budget.square import Square
from saddlepoint.errors import InputError
from saddlepoint.threat import L0, L1, L2, Box, Linf, Rescaled


class Rounding(torch.nn.Module):
    """Without a gradient: the pixels are rounded, and nothing is recorded."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    @torch.no_grad()
    def forward(self, x):
        return self.net((x * 32).round() / 32)


@pytest.mark.parametrize("shape", [(20,), (3, 3, 4), (2, 9)])
def test_linf_reaches_the_corner_of_a_linear_model(shape):
    w, x, _, least = case(math.prod(shape), 0.1, "linf", count=6, near_bounds=True)
    net, x = Affine(w, 100.0), x.reshape(-1, *shape)
    result = Square(Linf(0.1), queries=700)(net, x, torch.zeros(6, dtype=torch.int64))
    assert torch.allclose(result.adversarials.flatten(1) @ w, least, rtol=0, atol=1e-9)


def test_box_reaches_its_own_corner():
    w, x, _, _ = case(12, 0.1, "linf", count=4)
    box = Box((x - 0.2).clamp_min(0), (x + 0.05).clamp_max(1))
    result = Square(box, queries=500)(Affine(w, 100.0), x, torch.zeros(4, dtype=torch.int64))
    corner = torch.where(w > 0, box.lower, box.upper)
    assert torch.allclose(result.adversarials, corner, rtol=0, atol=1e-9)


def test_l2_spends_the_budget_and_beats_chance_by_far():
    w, x, _, _ = case(3 * 8 * 8, 1.0, "l2", count=6)
    smooth = torch.nn.functional.avg_pool2d(w.reshape(1, 3, 8, 8), 3, 1, 1).flatten()
    x = 0.25 + 0.5 * x
    net, x, labels = Affine(smooth, 100.0), x.reshape(6, 3, 8, 8), torch.zeros(6).long()
    result = Square(L2(1.0), queries=400)(net, x, labels)
    noise = UniformNoise(L2(1.0), draws=400)(net, x, labels)
    assert not bool(result.rejected.any())
    assert bool((result.distance <= 1.0 + 1e-5).all() & (result.distance > 0.99).all())
    # Of what a step along the weights would do; random search in 192 dimensions is far from it.
    share, by_chance = (
        (x - each.adversarials).flatten(1) @ smooth / smooth.norm() for each in (result, noise)
    )
    assert bool((share > 0.4).all() & (by_chance < 0.35).all())


@pytest.mark.parametrize("threat", [Linf(0.03), L2(0.4), L1(5.0)], ids=str)
def test_what_is_accepted_never_lowers_the_loss(threat):
    """The last iterate is the best that was ever seen."""
    net, images, labels = conv_case(8, torch.float64)
    last, best = (
        Square(threat, queries=150, stop="never", keep=keep)(net, images, labels)
        for keep in ("last", "best")
    )
    assert torch.equal(last.adversarials, best.adversarials)


@pytest.mark.parametrize("threat", [Linf(0.03), L2(0.4), L1(4.0)], ids=str)
def test_it_fools_where_there_is_no_gradient(threat):
    net, images, labels = conv_case(16)
    masked = Rounding(net)
    labels = masked(images).argmax(1)
    square = Square(threat, queries=200)(masked, images, labels)
    noise = UniformNoise(threat, draws=200)(masked, images, labels)
    assert square.success_rate > 0.6 > 0.5 > noise.success_rate
    assert not bool(square.backwards.any())
    assert bool((masked(square.adversarials).argmax(1) != labels)[square.success].all())


def test_queries_are_forward_passes_and_end_with_success():
    net, images, labels = conv_case(16, torch.float64, wrong=0)
    safe = Square(Linf(1e-6), queries=37)(net, images, labels)
    assert safe.forwards.tolist() == [37 + 2] * 16  # and the clean pass and the judge's
    result = Square(Linf(0.03), queries=200)(net, images, labels)
    assert result.success_rate > 0.5
    assert bool((result.forwards[result.success] < 202).all())
    one = Square(Linf(0.03), queries=1)(net, images, labels)
    assert one.forwards.tolist() == [3] * 16


def test_the_start_is_stripes_of_full_strength():
    net, images, labels = conv_case(4, torch.float64, wrong=0)
    change = Square(Linf(0.01), queries=1)(net, 0.2 + images / 2, labels, ids=labels).adversarials
    change = change - (0.2 + images / 2)
    still = change == 0  # an image that is wrong when shrunk is left alone
    attacked = ~still.flatten(1).all(1)
    change = change[attacked]
    assert int(attacked.sum()) >= 1
    assert torch.allclose(change.abs(), torch.full_like(change, 0.01), rtol=0, atol=1e-12)
    assert torch.allclose(change, change[:, :, :1].expand_as(change), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("p", "power"), [(2, 2), (1, 4)])
@pytest.mark.parametrize("size", [(3, 3), (4, 7), (9, 5)])
def test_a_pyramid_is_the_papers_sum(size, p, power):
    """η_rs = Σ_{k=0}^{M} 1/(n + 1 − k)², M = n − max(|r − r_0|, |s − s_0|), n the farthest; in L1 the
    power is 4.
    """
    height, width = size
    got = module._pyramids(height, width, 0, p, torch.zeros((), dtype=torch.float64))
    top, n = height // 2, max(height // 2, width) // 2
    upper = torch.zeros(top, width, dtype=torch.float64)
    for r in range(top):
        for s in range(width):
            m = n - max(abs(r - top // 2), abs(s - width // 2))
            upper[r, s] = sum(1 / (n + 1 - k) ** power for k in range(m + 1))
    assert torch.allclose(got[:top] / got[:top].norm(), upper / upper.norm())
    assert bool((got[:top] > 0).all() & (got[top:] < 0).all())
    assert torch.allclose(got.norm(p), torch.ones((), dtype=torch.float64))


@pytest.mark.parametrize(("ball", "p", "eps"), [(L2, 2, 0.3), (L1, 1, 2.0)], ids=["l2", "l1"])
def test_a_step_is_the_papers_in_loops(ball, p, eps):
    net, images, _ = conv_case(5, torch.float64)
    images, side = 0.4 + 0.2 * images, 3
    seen = {}

    class Spy(Square):
        def perturb(self, batch, tracker):
            seen["batch"] = batch

    Spy(ball(eps))(net, images, net(images).argmax(1))
    batch = seen["batch"]
    clean, (low, high) = batch.images, batch.bounds
    x = module.tiles(batch)
    # Part of the budget free, and a channel of a window empty.
    x = clean + 0.9 * (x - clean)
    x[:, 0, :4] = clean[:, 0, :4]
    u = batch.keys.uniform((12,), restart=9)
    got = module.move(batch, x, low, high, u, module.Window.of(side, side, p, x))
    for i in range(len(batch)):
        top, left, other_top, other_left = (int(6 * v) for v in u[i, :4])
        one = (slice(top, top + side), slice(left, left + side))
        two = (slice(other_top, other_top + side), slice(other_left, other_left + side))
        axis = 0 if float(u[i, 4]) < 0.5 else 1
        pattern = module._pyramids(side, side, axis, p, x)
        delta = x[i] - clean[i]
        free = max(eps**p - float(delta.abs().pow(p).sum()), 0.0)
        after = delta.clone()
        for c in range(3):
            union = torch.zeros(8, 8, dtype=torch.bool)
            union[one], union[two] = True, True
            budget = (float(delta[c][union].abs().pow(p).sum()) + free / 3) ** (1 / p)
            sign = 1.0 if float(u[i, 6 + c]) < 0.5 else -1.0
            mixed = sign * pattern
            if float(delta[c][one].norm()) > 0:
                mixed = mixed + delta[c][one] / delta[c][one].norm(p)
            after[c][two] = 0.0
            after[c][one] = mixed / mixed.norm(p) * budget * (3 if p == 1 else 1)
        if p == 2:
            want = (clean[i] + after * eps / after.norm()).clamp(0, 1)
        else:
            want = ball(eps).project(clean[i : i + 1], (clean[i] + after)[None])[0]
        assert torch.allclose(got[i], want, rtol=0, atol=1e-9)


@pytest.mark.parametrize("shape", [(1,), (1, 1, 1), (2, 1, 1)])
def test_a_single_pixel_is_no_trouble(shape):
    features = math.prod(shape)
    x = torch.full((3, *shape), 0.5)
    result = Square(L2(0.3), queries=60)(
        Affine(-torch.ones(features), 0.6 * features), x, torch.zeros(3, dtype=torch.int64)
    )
    assert not bool(result.rejected.any())
    assert bool(result.adversarials.isfinite().all())
    assert bool(result.success.all())


def test_l1_needs_fewer_queries_than_chance():
    w, x, _, _ = case(3 * 8 * 8, 1.0, "l1", count=6)
    smooth = torch.nn.functional.avg_pool2d(w.reshape(1, 3, 8, 8), 3, 1, 1).flatten()
    net, x, labels = Affine(smooth, 100.0), (0.25 + 0.5 * x).reshape(6, 3, 8, 8), torch.zeros(6)
    result = Square(L1(4.0), queries=400)(net, x, labels.long())
    noise = UniformNoise(L1(4.0), draws=400)(net, x, labels.long())
    assert bool((result.distance <= 4.0 + 1e-5).all() & (result.distance > 3.9).all())
    moved, by_chance = (
        (x - each.adversarials).flatten(1) @ smooth / smooth.abs().amax()
        for each in (result, noise)
    )
    assert bool((moved > 2 * by_chance).all())


def test_sides_fall_from_p_along_the_schedule():
    assert module.sides_of(0.8, 28, 28, 1) == (25, 25)
    assert module.sides_of(0.8 / 512, 28, 28, 1) == (1, 1)
    assert module.sides_of(0.8 / 512, 28, 28, 3) == (3, 3)
    assert module.sides_of(0.8, 2, 2, 3)[0] <= 2
    assert module.sides_of(0.5, 1, 100, 1) == (1, 50)
    assert module.sides_of(0.5, 100, 1, 1) == (50, 1)


@pytest.mark.parametrize("threat", [Linf(0.02), L2(0.3), L1(1.3)], ids=str)
def test_another_seed_draws_otherwise(threat):
    net, images, labels = conv_case(12, torch.float64)
    attack = Square(threat, queries=100)
    whole, other = (attack(net, images, labels, seed=seed) for seed in (3, 4))
    assert 0.2 < whole.success_rate < 0.9
    assert not torch.equal(whole.adversarials, other.adversarials)


def test_budgets_masks_targets_and_spaces_are_kept():
    net, images, labels = conv_case(12, torch.float64, wrong=0)
    eps = torch.linspace(0.01, 0.05, 12, dtype=torch.float64)
    mask = torch.zeros(3, 8, 8, dtype=torch.bool)
    mask[:, 2:6, 2:6] = True
    for ball in (Linf(1.0), L2(1.0)):
        result = Square(ball, queries=60)(net, images, labels, eps=10 * eps, mask=mask)
        assert not bool(result.rejected.any())
        assert bool((result.distance <= 10 * eps * (1 + 1e-5)).all())
        assert bool((result.adversarials == images)[:, ~mask].all())
        assert result.success_rate > 0.3
    targets = (labels + 1) % 5
    for attack in (Square(Linf(0.1), queries=300), Square(L2(1.5), queries=300, loss="margin")):
        targeted = attack(net, images, labels, targets)
        assert targeted.success_rate > 0.6
        assert torch.equal(targeted.predictions[targeted.success], targets[targeted.success])
    for ball in (Linf(0.2), L2(2.0)):
        scaled = Rescaled.pixels(ball, (0.5,) * 3, (0.2,) * 3)
        result = Square(scaled, queries=80)(net, images, labels)
        assert not bool(result.rejected.any())
        assert result.success_rate > 0.4


def test_the_targeted_loss_is_the_cross_entropy_unless_told_otherwise():
    net, images, labels = conv_case(8, torch.float64, wrong=0)
    targets = (labels + 1) % 5
    free, told, margin = (
        Square(Linf(0.01), queries=80, loss=loss, stop="never")(net, images, labels, targets)
        for loss in (None, "cross-entropy", "margin")
    )
    assert torch.equal(free.adversarials, told.adversarials)
    assert not torch.equal(free.adversarials, margin.adversarials)


def test_a_given_start_is_where_it_begins():
    net, images, labels = conv_case(4, torch.float64, wrong=0)
    start = (images + 0.003).clamp(0, 1)
    result = Square(Linf(0.004), queries=1)(net, images, labels, starts=start)
    assert torch.allclose(result.adversarials, start, rtol=0, atol=1e-12)


def test_two_classes_one_logit_and_single_features():
    w = torch.tensor([1.0, -2.0, 0.5])
    x = torch.tensor([[0.6, 0.2, 0.4], [0.5, 0.3, 0.3]])
    margin = x @ w
    for ball, reach in ((Linf(0.15), 0.15 * 3.5), (L2(0.2), 0.2 * float(w.norm()))):
        result = Square(ball, queries=200)(Affine(w), x, torch.tensor([0, 0]))
        possible = margin < 0.95 * reach
        assert bool(result.success[possible].all())

    class OneLogit(torch.nn.Module):
        def forward(self, x):
            return (x @ w)[:, None]

    one = Square(Linf(0.15), queries=200, criterion=BinaryLogit())
    assert bool(one(OneLogit(), x, torch.tensor([1, 1])).success.all())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"queries": 0}, "queries is 0; give at least 1"),
        ({"queries": 1.5}, "queries is 1.5; give a whole number"),
        ({"p": 0.0}, "p is 0.0"),
        ({"p": 1.5}, "p is 1.5"),
        ({"loss": "dlr"}, 'loss is "dlr"'),
    ],
)
def test_what_cannot_be_is_refused(options, words):
    with pytest.raises(InputError, match=words):
        Square(Linf(0.1), **options)
    with pytest.raises(InputError, match="no L0 form"):
        Square(L0(1))
