"""Every attack decides on CUDA as it does on the CPU, at nearly the same distance."""

from __future__ import annotations

import pytest
import torch
from gpu import DEVICE, on_both

from saddlepoint.attacks import APGD, ATTACKS, DDN, FMN, PGD, build_attack
from saddlepoint.threat import L2, Linf, norm_ball

BUDGETS = {"linf": 0.01, "l2": 0.1, "l1": 0.5, "l0": 6, "patches": 1}
QUICK = {
    "alma": {"steps": 60},
    "apgd": {"steps": 20},
    "brendel-bethge": {"steps": 60},
    "cw-l0": {"steps": 15},
    "cw-l2": {"steps": 60, "searches": 3},
    "cw-linf": {"steps": 30, "rounds": 4},
    "ddn": {"steps": 40},
    "fab": {"steps": 15},
    "fmn": {"steps": 40},
    "hard": {"passes": 400, "steps": 20},
    "hop-skip-jump": {"steps": 2},
    "md": {"steps": 20},
    "l-bfgs": {"searches": 3},
    "pdgd": {"steps": 60},
    "pdpgd": {"steps": 60},
    "pgd": {"restarts": 2},
    "portfolio": {"passes": 200},
    "sigma-zero": {"steps": 60},
    "sparse-rs": {"queries": 100},
    "square": {"queries": 100},
    "uniform-noise": {"draws": 20},
}
CASES = [
    (name, norm)
    for name, info in ATTACKS.items()
    if not info.attack.from_file
    for norm in info.norms
]


@pytest.mark.parametrize(("name", "norm"), CASES)
def test_in_double_precision_both_devices_find_the_same(name, norm):
    net, there, images, labels = on_both(12)
    info = ATTACKS[name]
    ball = norm_ball(norm) if info.minimum_norm else norm_ball(norm, BUDGETS[norm])
    attack = build_attack(name, ball, QUICK.get(name, {}))
    mine, theirs = attack(net, images, labels), attack(there, images, labels)
    assert theirs.adversarials.device.type == DEVICE.type
    assert torch.equal(mine.success, theirs.success.cpu())
    assert torch.equal(mine.initially_wrong, theirs.initially_wrong.cpu())
    assert not bool(theirs.rejected.any())
    hit = mine.success & ~mine.initially_wrong
    if not info.minimum_norm:
        assert bool((theirs.distance.cpu()[hit] <= BUDGETS[norm] * (1 + 1e-5)).all())
        return
    assert int(hit.sum()) >= 7
    ratio = theirs.distance.cpu()[hit] / mine.distance[hit]
    # The order of sums differs, and a long search amplifies the last bit of some images.
    assert 0.999 < float(ratio.median()) < 1.001, ratio
    assert float(ratio.min()) > 0.8, ratio
    assert float(ratio.max()) < 1.25, ratio


@pytest.mark.parametrize(
    "attack",
    [PGD(Linf(0.01), restarts=2), APGD(L2(0.1), steps=30), APGD(Linf(0.01), steps=20, loss="dlr")],
    ids=["pgd", "apgd-l2", "apgd-dlr"],
)
def test_in_single_precision_decisions_with_a_margin_are_the_same(attack):
    net, there, images, labels = on_both(64, torch.float32)
    mine, theirs = attack(net, images, labels), attack(there, images, labels)
    with torch.no_grad():
        logits = net(mine.adversarials)
    own = logits.gather(1, labels[:, None])[:, 0]
    clear = (own - logits.scatter(1, labels[:, None], -torch.inf).amax(1)).abs() > 1e-3
    assert int(clear.sum()) > 48
    assert torch.equal(mine.success[clear], theirs.success.cpu()[clear])
    assert 0.2 < mine.success_rate < 0.9, "a mixed problem"


@pytest.mark.parametrize("attack", [DDN(L2(), steps=60), FMN(Linf(), steps=60)], ids=["ddn", "fmn"])
def test_in_single_precision_distances_are_nearly_the_same(attack):
    net, there, images, labels = on_both(64, torch.float32, wrong=0)
    mine, theirs = attack(net, images, labels), attack(there, images, labels)
    ratio = theirs.distance.cpu() / mine.distance
    assert bool((mine.success & theirs.success.cpu()).all())
    assert 0.99 < float(ratio.median()) < 1.01
    assert 0.99 < float(ratio.mean()) < 1.01


def test_results_hold_where_anyone_recounts_them():
    net, there, images, labels = on_both(32, torch.float32, wrong=0)
    result = FMN(Linf(), steps=40)(there, images, labels)
    with torch.no_grad():
        fooled = net(result.adversarials.cpu()).argmax(1) != labels
    assert bool(fooled.all())
    moved = (result.adversarials.cpu().double() - images.double()).abs().flatten(1).amax(1)
    assert torch.allclose(moved, result.distance.cpu(), rtol=0, atol=0)
