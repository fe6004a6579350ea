"""HopSkipJump against exact distances of linear models, with decisions and nothing else."""

from __future__ import annotations

import pytest
import torch
from networks import Affine, conv_case

from saddlepoint.attacks import BinaryLogit
from saddlepoint.attacks.minimum_norm import hopskipjump as module
from saddlepoint.attacks.minimum_norm.hopskipjump import HopSkipJump
from saddlepoint.errors import InputError
from saddlepoint.threat import L1, L2, Linf, Rescaled


class Decisions(torch.nn.Module):
    """The class alone, as a one-hot row; no gradient."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    @torch.no_grad()
    def forward(self, x):
        logits = self.net(x)
        return 7.0 * torch.nn.functional.one_hot(logits.argmax(1), logits.shape[1])


def linear(d=20, count=16, dtype=torch.float64):
    """Models whose nearest boundary point is inside the range, and the images' distances w·x."""
    generator = torch.Generator().manual_seed(d)
    w = torch.randn(d, generator=generator, dtype=dtype)
    x = 0.4 + 0.2 * torch.rand(count, d, generator=generator, dtype=dtype)
    net = Affine(w, -0.5 * w.sum())
    return Decisions(net), x, net(x).argmax(1), ((x - 0.5) @ w).abs(), w


@pytest.mark.parametrize(
    ("ball", "dual", "within"), [(L2(), 2, 1.03), (Linf(), 1, 1.08)], ids=["L2", "Linf"]
)
def test_on_linear_models_it_comes_within_percents(ball, dual, within):
    net, x, labels, margin, w = linear()
    exact = margin / torch.linalg.vector_norm(w, dual)
    result = HopSkipJump(ball, steps=10)(net, x, labels)
    ratio = result.distance / exact
    assert bool(result.success.all())
    assert float(ratio.min()) >= 0.999
    assert float(ratio.median()) <= 1 + (within - 1) / 2
    assert float(ratio.max()) <= within
    assert float(result.forwards.double().mean()) < 3000
    assert not bool(result.backwards.any())
    rough = HopSkipJump(ball, steps=2)(net, x, labels).distance / exact
    assert float(rough.median()) > float(ratio.median())


def test_single_precision_is_enough():
    net, x, labels, margin, w = linear(dtype=torch.float32)
    result = HopSkipJump(L2(), steps=8)(net, x, labels)
    ratio = result.distance / (margin / w.norm())
    assert 0.999 <= float(ratio.min()) <= float(ratio.max()) <= 1.05


@pytest.mark.parametrize("ball", [L2(), pytest.param(Linf(), marks=pytest.mark.slow)], ids=str)
def test_more_steps_come_nearer_on_a_network(ball):
    net, images, labels = conv_case(4, torch.float64, wrong=0)
    few, many = (HopSkipJump(ball, steps=n)(net, images, labels) for n in (1, 10))
    assert bool(many.success.all())
    assert bool((many.distance <= few.distance).all())
    assert float(many.distance.median()) < 0.6 * float(few.distance.median())


def test_every_query_is_counted_on_its_own_sample():
    net, images, labels = conv_case(3, torch.float64, wrong=0)
    seen = []
    handle = net.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    result = HopSkipJump(L2(), steps=3, initial_probes=25)(net, images, labels)
    handle.remove()
    assert sum(seen) == int(result.forwards.sum())
    assert bool((result.forwards > 25 + 35 + 43).all())  # 25·√t probes
    capped = HopSkipJump(L2(), steps=3, initial_probes=25, max_probes=25)(net, images, labels)
    assert bool((capped.forwards < result.forwards).all())


def test_where_no_start_fools_it_fails_cleanly():
    always = Affine(torch.tensor([1.0, 1.0]), 5.0)
    x = torch.rand(3, 2)
    result = HopSkipJump(L2(), draws=7)(always, x, torch.zeros(3, dtype=torch.int64))
    assert not bool(result.success.any())
    assert bool(result.distance.isinf().all())
    assert torch.equal(result.adversarials, x)
    assert result.forwards.tolist() == [7 + 2] * 3


@pytest.mark.parametrize("ball", [L2(), Linf()], ids=str)
def test_a_target_is_reached_from_a_start_of_its_class(ball):
    net, images, labels = conv_case(24, torch.float64, wrong=0)
    decides = Decisions(net)
    targets = (labels + 1) % 5
    starts = images.clone()
    for i in range(24):
        donors = (labels == targets[i]).nonzero()
        if len(donors):
            starts[i] = images[donors[0, 0]]
    have = (starts != images).flatten(1).any(1)
    attack = HopSkipJump(ball, steps=4, draws=1)
    result = attack(decides, images, labels, targets, starts=starts)
    assert int(have.sum()) >= 8
    assert bool(result.success[have].all())
    assert torch.equal(result.predictions[have], targets[have])
    far = ball.distance(images, starts)
    assert bool((result.distance[have] < 0.6 * far[have]).all())


@pytest.mark.parametrize("ball", [L2(), Linf()], ids=str)
def test_another_seed_draws_otherwise(ball):
    net, images, labels = conv_case(4, torch.float64, wrong=1)
    attack = HopSkipJump(ball, steps=1)
    one, other = (attack(net, images, labels, seed=seed).adversarials for seed in (3, 4))
    assert not torch.equal(one, other)


def test_memory_is_bounded_by_parts_that_change_nothing(monkeypatch):
    net, images, labels = conv_case(6, torch.float64, wrong=0)
    attack = HopSkipJump(L2(), steps=2)
    whole = attack(net, images, labels)
    monkeypatch.setattr(module, "_NUMBERS_AT_ONCE", 1)
    parts = attack(net, images, labels)
    assert torch.allclose(whole.adversarials, parts.adversarials, rtol=0, atol=1e-9)
    assert torch.equal(whole.forwards, parts.forwards)


def test_masks_spaces_and_one_logit():
    net, images, labels = conv_case(6, torch.float64, wrong=0)
    mask = torch.zeros(3, 8, 8, dtype=torch.bool)
    mask[:, :, :5] = True
    for ball in (L2(), Linf()):
        result = HopSkipJump(ball, steps=3)(net, images, labels, mask=mask)
        assert bool((result.adversarials == images)[:, ~mask].all())
        assert result.success_rate > 0.8
        scaled = Rescaled.pixels(ball, (0.5,) * 3, (0.2,) * 3)
        pixels = HopSkipJump(ball, steps=3)(net, images, labels)
        normalised = HopSkipJump(scaled, steps=3)(net, images, labels)
        assert bool(normalised.success.all())
        ratio = normalised.distance / pixels.distance
        assert 4 < float(ratio.median()) < 6.5
    w = torch.tensor([1.0, -2.0])

    class OneLogit(torch.nn.Module):
        def forward(self, x):
            return (x @ w)[:, None]

    x = torch.tensor([[0.6, 0.2], [0.2, 0.4]])
    one = HopSkipJump(L2(), steps=8, criterion=BinaryLogit())
    result = one(OneLogit(), x, torch.tensor([1, 0]))
    exact = (x @ w).abs() / w.norm()
    assert torch.allclose(result.distance.float(), exact, rtol=0.03)


def test_without_a_range_starts_are_asked_for():
    endless = L2(lower=-float("inf"), upper=float("inf"))
    net, x, labels, margin, w = linear(count=4)
    with pytest.raises(InputError, match="give `starts`"):
        HopSkipJump(endless)(net, x, labels)
    starts = x + 3 * w / w.norm() * torch.where(labels == 0, -1, 1)[:, None]
    result = HopSkipJump(endless, steps=8)(net, x, labels, starts=starts)
    assert float((result.distance / (margin / w.norm())).max()) < 1.1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"initial_probes": 0}, "initial_probes is 0"),
        ({"draws": 0}, "draws is 0"),
        ({"initial_probes": 20, "max_probes": 10}, "no more at first than at most"),
        ({"gamma": 0.0}, "gamma is 0.0"),
    ],
)
def test_what_cannot_be_is_refused(options, words):
    with pytest.raises(InputError, match=words):
        HopSkipJump(L2(), **options)
    with pytest.raises(InputError, match="no L1 form"):
        HopSkipJump(L1())
    with pytest.raises(InputError, match="without a budget"):
        HopSkipJump(L2(0.5))
