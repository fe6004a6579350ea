"""A portfolio is as near as its nearest member, and keeps to its passes."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field

import pytest
import torch
from linear import best_change
from networks import Affine, conv_case
from sampled import mostly_slow

from saddlepoint.attacks import (
    DDN,
    FAB,
    FIXED_BUDGET,
    FMN,
    MINIMUM_NORM,
    PGD,
    MinimumNorm,
    Portfolio,
    Race,
    Transfer,
    build_attack,
    foreign,
    portfolio,
)
from saddlepoint.attacks.wrappers import race as race_module
from saddlepoint.attacks.wrappers.insured import Insured
from saddlepoint.errors import InputError
from saddlepoint.threat import L0, L1, L2, Box, Linf


def test_the_nearest_member_counts():
    net, images, labels = conv_case(16)
    members = (DDN(L2(), steps=6, loss="margin"), FMN(L2(), steps=6))
    each = torch.stack([member(net, images, labels).distance for member in members])
    both = Portfolio(L2(), members=members, bisections=0)(net, images, labels)
    assert torch.allclose(both.distance, each.amin(0), rtol=1e-4)
    assert not torch.equal(each[0], each[1])


@pytest.mark.parametrize("classes", mostly_slow([2, 3, 10], quick=[2, 10]))
@pytest.mark.parametrize("ball", [Linf, L2, L1, L0])
def test_the_passes_are_kept_to(ball, classes):
    torch.manual_seed(classes)
    net = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, classes))
    net, images = net.double(), torch.rand(5, 8, dtype=torch.float64)
    labels = net(images).argmax(1)
    for passes in (200, 700):
        result = portfolio(ball(), passes=passes)(net, images, labels)
        spent = result.forwards + result.backwards
        assert int(spent.max()) <= passes
    assert ball is L0 or int(spent.min()) >= 500


@pytest.mark.parametrize("ball", [Linf, L2, L1, L0])
def test_with_few_passes_it_succeeds(ball):
    net, images, labels = conv_case(6)
    result = portfolio(ball(), passes=300)(net, images, labels)
    assert bool(result.success.all())
    assert int((result.forwards + result.backwards).max()) <= 300


def test_a_race_goes_to_the_nearest_class():
    net = torch.nn.Linear(8, 4, bias=False).double()
    net.weight.data = torch.eye(4, dtype=torch.float64).repeat_interleave(2, dim=1)
    x = torch.tensor([[0.9, 0.9, 0.3, 0.3, 0.2, 0.2, 0.6, 0.6]], dtype=torch.float64)
    seen = []

    @dataclass(frozen=True, kw_only=True)
    class Watch(DDN):
        def perturb(self, batch, tracker):
            seen.append((self.steps, batch.goals.tolist()))
            super().perturb(batch, tracker)

    rounds = ((Watch(L2(), steps=20), 3), (Watch(L2(), steps=30), 2))
    result = Race(L2(), rounds=rounds)(net, x, torch.tensor([0]))
    # Margins of 1.2, 1.4 and 0.6 along normals of equal length.
    assert seen == [(20, [3, 1, 2]), (30, [3, 1])]
    assert float(result.distance) == pytest.approx(0.3, rel=1e-3)


@pytest.mark.parametrize("attack", [DDN(L2(), steps=12), FAB(L2(), steps=6)], ids=["ddn", "fab"])
def test_classes_at_once_are_classes_one_after_another(attack, monkeypatch):
    net, images, labels = conv_case(6)
    race = Race(L2(), rounds=((attack, 3), (attack, 2)))
    together = race(net, images, labels)
    monkeypatch.setattr(race_module, "_ENTRIES", 1)
    apart = race(net, images, labels)
    torch.testing.assert_close(together.distance, apart.distance, rtol=1e-4, atol=0)
    assert torch.equal(together.backwards, apart.backwards)
    # the nearest of each round is looked at once, not that of each class
    saved = torch.where(together.initially_wrong, 0, 3)
    assert torch.equal(together.forwards + saved, apart.forwards)


def test_a_round_that_finds_nothing_forgets_nothing():
    net = torch.nn.Linear(8, 4, bias=False).double()
    net.weight.data = torch.eye(4, dtype=torch.float64).repeat_interleave(2, dim=1)
    x = torch.tensor([[0.9, 0.9, 0.3, 0.3, 0.2, 0.2, 0.6, 0.6]], dtype=torch.float64)
    seen = []

    @dataclass(frozen=True, kw_only=True)
    class Lost(MinimumNorm):
        def perturb(self, batch, tracker):
            seen.append(batch.goals.tolist())

    rounds = ((DDN(L2(), steps=20), 3), (Lost(L2()), 2), (Lost(L2()), 1))
    found = Race(L2(), rounds=rounds)(net, x, torch.tensor([0]))
    assert seen == [[3, 1], [3]]
    assert float(found.distance) == pytest.approx(0.3, rel=1e-3)


def test_other_libraries_and_surrogates_race_too(monkeypatch):
    net, images, labels = conv_case(6, wrong=0)

    def straight(model, x, y, targets=None):
        z = x.clone().requires_grad_()
        model(z).gather(1, targets[:, None]).sum().backward()
        return (x + 0.2 * z.grad.sign()).clamp(0, 1).detach()

    for attack in (foreign(straight, L2()), Transfer(DDN(L2(), steps=6), deepcopy(net))):
        race = Race(L2(), rounds=((attack, 3),))
        monkeypatch.setattr(race_module, "_ENTRIES", 1 << 18)
        together = race(net, images, labels)
        monkeypatch.setattr(race_module, "_ENTRIES", 1)
        apart = race(net, images, labels)
        assert together.success_rate > 0.5
        assert torch.equal(together.backwards, apart.backwards)
        assert torch.equal(together.forwards + 2, apart.forwards)


def test_runs_left_over_are_restarts():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(2, 16), torch.nn.Tanh(), torch.nn.Linear(16, 2))
    net, images = net.double(), torch.rand(4, 2, dtype=torch.float64)
    labels = net(images).argmax(1)
    once, thrice = (
        Race(L2(), rounds=((DDN(L2(), steps=10, loss="margin"), runs),))(net, images, labels)
        for runs in (1, 3)
    )
    assert int(thrice.backwards.min()) == int(once.backwards.min()) + 20


@pytest.mark.parametrize(("norm", "ball"), [("linf", Linf), ("l2", L2), ("l1", L1)])
def test_on_a_linear_model_it_is_exact(norm, ball):
    w = torch.tensor([3.0, -2.0, 1.0, 0.5], dtype=torch.float64)
    x = torch.tensor([[0.5, 0.4, 0.6, 0.5], [0.9, 0.2, 0.3, 0.1]], dtype=torch.float64)
    found = portfolio(ball(), passes=600)(Affine(w), x, torch.zeros(2, dtype=torch.int64))
    for i in (0, 1):
        reached = float(found.distance[i])
        for share, fooled in ((0.98, False), (1.001, True)):
            moved = x[i : i + 1] + best_change(w, x[i : i + 1], share * reached, norm)
            assert bool(moved @ w < 0) == fooled


def test_by_name():
    attack = build_attack("portfolio", L2(), {"passes": "400"})
    assert attack.kind is MINIMUM_NORM
    assert type(attack.members[0]) is Insured
    assert build_attack("portfolio", L2(0.5)).kind is FIXED_BUDGET


@pytest.mark.parametrize(
    ("build", "word"),
    [
        (lambda: portfolio(L2(), passes=50), "at least 200"),
        (lambda: portfolio(Box(0.0, 1.0)), "needs Linf, L2, L1 or L0"),
        (lambda: portfolio(L2(0.5)), "without a budget"),
        (lambda: Portfolio(L2(), members=()), "needs a member"),
        (lambda: Portfolio(L2(), members=(PGD(L2(0.5)),)), "no minimum-norm attack"),
        (lambda: Portfolio(L2(), members=(FMN(Linf()),)), "no minimum-norm attack"),
        (lambda: Race(L2(), rounds=()), "needs a member"),
        (lambda: Race(L2(), rounds=((DDN(L2()), 0),)), "DDN: classes that it is run towards is 0"),
    ],
)
def test_what_makes_no_sense_is_refused(build, word):
    with pytest.raises(InputError, match=word):
        build()


@dataclass(frozen=True, kw_only=True)
class Told(MinimumNorm):
    """Finds, for each image of the call, what it was told: ½ plus a change; writes whom it ran on."""

    changes: tuple[float, ...] = ()
    ran: list = field(default_factory=list)

    def perturb(self, batch, tracker):
        self.ran.append(batch.keys.ids.tolist())
        change = torch.tensor(self.changes, dtype=batch.clean.dtype)[batch.keys.ids]
        tracker.offer(batch, batch.clean + change[:, None])


def test_each_image_goes_on_with_the_kind_that_found_it_nearer():
    # fooled from a change of 0.1 on; 0 finds nothing
    net, x = Affine(torch.tensor([-1.0]), 0.6), torch.full((4, 1), 0.5)
    short = Told(L2(), changes=(0.2, 0.4, 0.0, 0.3))
    pilot = Told(L2(), changes=(0.3, 0.2, 0.0, 0.298))
    near, far = Told(L2(), changes=(0.15,) * 4), Told(L2(), changes=(0.12,) * 4)
    attack = Insured(L2(), short=(short, 1), pilot=pilot, near=((near, 1),), far=(far,))
    found = attack(net, x, torch.zeros(4, dtype=torch.int64)).distance
    assert (near.ran, far.ran) == ([[0, 3]], [[1, 2]])
    torch.testing.assert_close(found, torch.tensor([0.15, 0.12, 0.12, 0.15]).to(found.dtype))


def test_where_nothing_outside_fools_the_race_goes_on():
    net, x = Affine(torch.tensor([-1.0]), 0.6), torch.full((2, 1), 0.5)
    nothing, near = Told(L2(), changes=(0.0,) * 2), Told(L2(), changes=(0.15, 0.2))
    outside, rest = Told(L2(), changes=(0.12, 0.0)), Told(L2(), changes=(0.11,) * 2)
    attack = Insured(
        L2(), short=(nothing, 1), pilot=nothing, near=((near, 1),), far=(outside, rest)
    )
    found = attack(net, x, torch.zeros(2, dtype=torch.int64)).distance
    assert (outside.ran, rest.ran, near.ran) == ([[0, 1]], [[0]], [[1]])
    torch.testing.assert_close(found, torch.tensor([0.11, 0.2]).to(found.dtype))
