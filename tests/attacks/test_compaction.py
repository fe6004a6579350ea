"""Finished samples leave the batch: fewer passes, the same results; "never" spends everything."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch
from networks import Affine, conv_case

from saddlepoint.attacks import BIM, FGSM, MIFGSM, PGD, Best, UniformNoise
from saddlepoint.attacks.core import kinds
from saddlepoint.threat import L1, L2, Linf

ATTACKS = {
    "bim": BIM(Linf(0.01), steps=6),
    "mi-fgsm": MIFGSM(Linf(0.01), steps=6),
    "pgd-linf": PGD(Linf(0.01), steps=6, restarts=3),
    "pgd-l2": PGD(L2(0.1), steps=6, restarts=3),
    "pgd-l1": PGD(L1(0.5), steps=6, restarts=3),
    "noise": UniformNoise(Linf(0.1), draws=8),
}


class LazyBest(Best):
    def __init__(self, images, stop="success"):
        super().__init__(images, stop, lazy=True)


@pytest.mark.parametrize("name", ATTACKS)
def test_the_lazy_policy_gives_the_same_results(name, monkeypatch):
    net, images, labels = conv_case(64, torch.float64)
    eager = ATTACKS[name](net, images, labels)
    monkeypatch.setattr(kinds, "Best", LazyBest)
    lazy = ATTACKS[name](net, images, labels)
    assert torch.equal(eager.success, lazy.success)
    assert torch.equal(eager.predictions, lazy.predictions)
    assert torch.allclose(eager.adversarials, lazy.adversarials, rtol=0, atol=1e-9)
    assert bool((lazy.backwards >= eager.backwards).all())
    assert int(lazy.forwards.sum()) > int(eager.forwards.sum()), "lazy waits a step"


@pytest.mark.parametrize("name", ATTACKS)
def test_finished_samples_spend_fewer_passes_and_failures_all(name):
    net, images, labels = conv_case(64)
    result = ATTACKS[name](net, images, labels)
    attacked = ~result.initially_wrong
    fooled, held = result.success & attacked, ~result.success
    assert bool((result.forwards[held] == result.forwards[held].max()).all())
    assert float(result.forwards[fooled].double().mean()) < 0.85 * int(result.forwards.max())
    assert result.forwards[~attacked].tolist() == [2] * 3


@pytest.mark.parametrize("name", ["bim", "mi-fgsm", "pgd-linf", "pgd-l2", "noise"])
def test_never_spends_everything_and_goes_further(name):
    net, images, labels = conv_case(64)
    never = dataclasses.replace(ATTACKS[name], stop="never")(net, images, labels)
    early = ATTACKS[name](net, images, labels)
    attacked = ~never.initially_wrong
    assert never.forwards[attacked].unique().numel() == 1
    assert torch.equal(never.success, early.success)

    def margin(x):
        with torch.no_grad():
            logits = net(x)
        others = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
        return logits.gather(1, labels[:, None])[:, 0] - others

    further, near = margin(never.adversarials), margin(early.adversarials)
    assert bool((further <= near + 1e-5).all())
    assert float(further[attacked].mean()) < float(near[attacked].mean()) - 0.01


def test_restarts_skip_fooled_images_and_keep_their_success():
    net, images, labels = conv_case(64, torch.float64)
    results = [
        PGD(L2(0.3), steps=1, step_size=0.02, restarts=r)(net, images, labels) for r in (1, 2, 6)
    ]
    for fewer, more in itertools.pairwise(results):
        assert bool((more.success | ~fewer.success).all()), "a restart may only add successes"
        kept = fewer.success
        assert torch.equal(more.adversarials[kept], fewer.adversarials[kept])
        assert torch.equal(more.forwards[kept], fewer.forwards[kept])
    assert int(results[2].success.sum()) > int(results[0].success.sum())
    failed = ~results[2].success
    assert set(results[2].backwards[failed].tolist()) == {6}


def test_the_last_iterate_is_judged_too():
    """Two steps of half the budget: only the last iterate, of which no gradient is taken, fools."""
    net = Affine(torch.tensor([1.0, 1.0]), -0.9)
    image, label = torch.tensor([[0.5, 0.5]]), torch.tensor([0])
    for attack in (BIM, MIFGSM):
        result = attack(Linf(0.08), steps=2)(net, image, label)
        assert bool(result.success)
    assert bool(FGSM(Linf(0.08))(net, image, label).success)
    assert bool(PGD(Linf(0.08), steps=2, start="clean", step_size=0.04)(net, image, label).success)


def test_the_best_iterate_is_kept_although_the_last_is_worse():
    """A step so long that the attack jumps to and fro: only some iterates fool."""

    class Valley(torch.nn.Module):
        def forward(self, x):
            margin = 10 * (x[:, :1] - 0.52).abs() - 0.15
            return torch.cat([margin, torch.zeros_like(margin)], 1)

    image, label = torch.tensor([[0.5]]), torch.tensor([0])
    options = {"steps": 2, "start": "clean", "step_size": 0.03}  # 0.5, 0.53, 0.5
    best = PGD(Linf(0.04), **options, stop="never")(Valley(), image, label)
    last = PGD(Linf(0.04), **options, stop="never", keep="last")(Valley(), image, label)
    assert bool(best.success)
    assert float(best.adversarials) == pytest.approx(0.53)
    assert not bool(last.success)
    assert float(last.adversarials) == pytest.approx(0.5)


def test_a_tie_does_not_finish_a_sample():
    """The first step ends exactly on the boundary: the attack must go on from there, not again."""
    net = Affine(torch.tensor([1.0, 0.0]), -0.25)
    image, label = torch.tensor([[0.5, 0.5]]), torch.tensor([0])
    result = PGD(Linf(0.5), steps=3, step_size=0.25, start="clean")(net, image, label)
    assert bool(result.success)
    assert result.backwards.tolist() == [3]  # of 0.5, 0.25 (the tie) and 0, which fools
