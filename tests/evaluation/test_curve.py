"""The suite minimum-norm: one search per image gives the whole curve, which the closed form has too."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from small import after_stages, digits, trained

from saddlepoint.attacks import DDN, FMN, PGD
from saddlepoint.errors import InputError
from saddlepoint.evaluation import Evaluation, evaluate, steps
from saddlepoint.threat import L2, Box

EPS = (0.2, 0.5, 0.8, 1.1)
SUITE = {"ddn": DDN(L2(), steps=6), "fmn": FMN(L2(), steps=6)}


def linear(count=8, features=9):
    """Two classes by a linear margin, and images near the middle of the range."""
    generator = torch.Generator().manual_seed(1)
    w = torch.randn(features, generator=generator)
    images = 0.5 + 0.3 * (torch.rand(count, features, generator=generator) - 0.5)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(features, 2))
    net[1].weight.data = torch.stack([w / 2, -w / 2])
    net[1].bias.data = torch.tensor([-0.25, 0.25]) * w.sum()
    return net, images.reshape(count, 1, 3, 3), w


def least(w, images, norm):
    """The distances to the boundary, for which the range has room."""
    x = images.flatten(1).double()
    margin = ((x - 0.5) @ w.double()).abs()
    if norm != "L0":
        dual = {"Linf": w.abs().sum(), "L2": w.norm(), "L1": w.abs().max()}[norm]
        return (margin / dual.double()).numpy()
    down = -((x - 0.5) @ w.double()).sign()[:, None] * w.sign()
    gain = w.abs() * torch.where(down > 0, 1 - x, x)
    reach = gain.sort(dim=1, descending=True).values.cumsum(1)
    return (1 + (reach <= margin[:, None]).sum(1)).double().numpy()


@pytest.mark.parametrize("norm", ["Linf", "L2", "L1", "L0"])
def test_on_a_linear_network_the_curve_is_the_closed_form(norm):
    net, images, w = linear()
    distance = np.sort(least(w, images, norm))
    around = [*(distance * 1.001)[::4], *(distance * 0.999)[::4]]
    eps = sorted(
        {max(1.0, float(np.floor(each))) if norm == "L0" else float(each) for each in around}
    )
    record = evaluate(
        net, (images, net(images).argmax(1)), norm, eps=eps, suite="minimum-norm", diagnosis=None
    )
    curve = record.curve()
    for budget in record.budgets:
        robust = int((distance > budget.eps).sum())
        assert budget.robust_accuracy.count == curve.at(budget.eps).count == robust
    assert np.allclose(curve.eps[1:], np.unique(distance), rtol=1e-4)
    assert curve.median_distance == pytest.approx(distance[(len(distance) - 1) // 2], rel=1e-4)
    assert record.budgets[0].backwards > 0 == sum(each.backwards for each in record.budgets[1:])


def run(eps, out=None, progress=None, **options):
    data = digits(limit=40)
    options = {"suite": SUITE, "batch_size": 16, **options}
    return evaluate(
        trained(), data, "L2", eps=eps, out=out, progress=progress, **options, diagnosis=None
    )


def same(a, b):
    told = [{k: v for k, v in each.json().items() if k != "seconds"} for each in (a, b)]
    assert told[0] == told[1]
    assert a.images.equals(b.images)
    assert a.attempts.equals(b.attempts)
    assert a.curve() == b.curve()


@pytest.fixture(scope="module")
def whole():
    return run(EPS)


def test_the_nearest_of_several_attacks_counts_and_passes_are_counted_once(whole):
    rows = whole.attempts.to_pandas()
    assert rows["eps"].isna().all()
    assert (rows.groupby("attack").size() == whole.clean.count).all()
    nearest = rows.groupby("id")["distance"].min()
    for budget, share in zip(whole.budgets, (whole.budgets[:1] + whole.budgets)[1:], strict=False):
        assert budget.robust_accuracy.count == int((nearest > budget.eps).sum())
        assert share.attacked["ddn"] >= share.attacked["fmn"]
    total = rows[["forwards", "backwards"]].sum() / whole.clean.total
    assert [whole.budgets[0].forwards, whole.budgets[0].backwards] == pytest.approx(total.tolist())
    assert all(
        a.robust_accuracy.count > b.robust_accuracy.count for a, b in pairwise(whole.budgets)
    )
    shares = whole.by_attack()
    assert sum(each.forwards for each in shares) == pytest.approx(whole.budgets[0].forwards)
    assert shares[-1].robust_accuracy == whole.budgets[-1].robust_accuracy


@pytest.mark.parametrize("before", [EPS[1:2], EPS[2:], (0.0,)])
def test_other_budgets_of_a_finished_folder_cost_no_pass(tmp_path, monkeypatch, whole, before):
    first = run(before, tmp_path)
    if any(before):
        monkeypatch.setattr("saddlepoint.attacks.core.contract.Attack.__call__", None)
    same(run([*before, *EPS], tmp_path), run([*before, *EPS]) if 0.0 in before else whole)
    assert Evaluation.load(tmp_path).budgets[-1] == whole.budgets[-1]
    monkeypatch.setattr("saddlepoint.numerics.NUMERICS", {"attacks": 10**6})
    written = (tmp_path / "evaluation.json").read_bytes()
    same(run(before, tmp_path), first) if any(before) else None
    assert (tmp_path / "evaluation.json").read_bytes() == written


def stop():
    raise KeyboardInterrupt


def test_interrupted_it_goes_on_to_the_same_record(tmp_path, monkeypatch):
    monkeypatch.setattr(steps, "SIZE", 16)
    expected = run(EPS)
    with pytest.raises(KeyboardInterrupt):
        run(EPS, tmp_path, after_stages(0, stop))
    assert not (tmp_path / "evaluation.json").exists()
    calls, step = [], steps.Steps._step
    monkeypatch.setattr(
        steps.Steps,
        "_step",
        lambda self, name, *rest: calls.append(name) or step(self, name, *rest),
    )
    same(run(EPS, tmp_path), expected)
    assert (
        0 < sum(name.startswith("every budget") for name in calls) < 6
    )  # of three parts, two attacks


def test_a_suite_may_have_both_kinds(tmp_path):
    suite = {"pgd": PGD(L2(0.1), steps=5), **SUITE}
    record = run(EPS[:2], tmp_path, suite=suite)
    both = run(EPS[:3], suite=suite)
    same(run(EPS[:3], tmp_path, suite=suite), both)
    for mixed, alone in zip(both.budgets, run(EPS[:3]).budgets, strict=True):
        assert mixed.robust_accuracy.count <= alone.robust_accuracy.count
    assert record.budgets[1].fooled_by["pgd"] > 0


def test_what_has_no_distances_is_refused():
    with pytest.raises(InputError, match="no distances; evaluate with the suite minimum-norm"):
        run(EPS[:1], suite="quick").curve()
    for suite, message in (
        ("minimum-norm", "needs Linf, L2, L1 or L0"),
        (SUITE, "distances in a norm"),
    ):
        with pytest.raises(InputError, match=message):
            evaluate(trained(), digits(limit=8), Box(0.0, 0.1), suite=suite, diagnosis=None)
