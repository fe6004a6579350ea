"""The projection on half-space ∩ box against linear programming, SLSQP and enumeration."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.optimize import linprog, minimize

from saddlepoint.attacks.geometry.half_spaces import project_halfspace, violation
from saddlepoint.errors import InputError
from saddlepoint.threat.norms import norm

NORMS = (1, 2, math.inf)


def problem(rows, d, seed, outside=0.0, dtype=torch.float64):
    """Points, normals with some zeros, offsets between the clean value and the box's least."""
    g = torch.Generator().manual_seed(seed)
    low = torch.rand(rows, d, generator=g, dtype=torch.float64) * 0.4
    high = low + torch.rand(rows, d, generator=g, dtype=torch.float64)
    x = low + (high - low) * torch.rand(rows, d, generator=g, dtype=torch.float64).mul(1.6).sub(
        0.3
    ).clamp(-outside, 1 + outside)
    x = x if outside else x.clamp(low, high)
    w = torch.randn(rows, d, generator=g, dtype=torch.float64)
    w[:, 0] *= torch.rand(rows, generator=g, dtype=torch.float64) < 0.5
    most = (w * torch.where(w > 0, high, low)).sum(1)
    least = (w * torch.where(w > 0, low, high)).sum(1)
    share = torch.rand(rows, generator=g, dtype=torch.float64) * 1.2 - 0.1
    b = least + share * (most - least)
    return [each.to(dtype) for each in (x, w, b, low, high)]


def exact(x, w, b, low, high, p, equality=False):
    """The least distance by an independent solver, or None where there is no such point."""
    x, w, low, high = (np.asarray(each) for each in (x, w, low, high))
    b, d, bounds = float(b), len(x), [*zip(low.tolist(), high.tolist(), strict=True)]
    if p == 2:
        feasible = exact(x, w, b, low, high, math.inf, equality)
        if feasible is None:
            return None
        kind = "eq" if equality else "ineq"
        solved = minimize(
            lambda z: ((z - x) ** 2).sum(), feasible[1], jac=lambda z: 2 * (z - x), bounds=bounds,
            constraints={"type": kind, "fun": lambda z: b - w @ z, "jac": lambda z: -w},
            method="SLSQP", options={"ftol": 1e-15, "maxiter": 500},
        )  # fmt: skip
        return math.sqrt(solved.fun), solved.x
    # min Σ t or max t, with |z − x| ≤ t.
    eye, wide = np.eye(d), d if p == 1 else 1
    t = -np.eye(d) if p == 1 else -np.ones((d, 1))
    upper, limit = np.block([[eye, t], [-eye, t]]), np.concatenate([x, -x])
    plane = np.concatenate([w, np.zeros(wide)])[None]
    if not equality:
        upper, limit = np.concatenate([upper, plane]), np.append(limit, b)
    solved = linprog(
        np.concatenate([np.zeros(d), np.ones(wide)]), A_ub=upper, b_ub=limit,
        A_eq=plane if equality else None, b_eq=[b] if equality else None,
        bounds=bounds + [(0, None)] * wide,
    )  # fmt: skip
    return (solved.fun, solved.x[:d]) if solved.status == 0 else None


@pytest.mark.parametrize("equality", [False, True])
@pytest.mark.parametrize("outside", [0.0, 0.3])
@pytest.mark.parametrize("p", NORMS)
def test_it_is_the_nearest_point_that_an_independent_solver_finds(p, outside, equality):
    x, w, b, low, high = problem(25, 6, seed=3, outside=outside)
    z = project_halfspace(x, w, b, low, high, p, equality=equality)
    assert bool(((z >= low) & (z <= high)).all())
    reached = 0
    for i in range(len(x)):
        known = exact(x[i], w[i], b[i], low[i], high[i], p, equality)
        value, length = float(w[i] @ z[i]), float(norm((z - x)[i : i + 1], p))
        if known is None:
            least = float((w[i] * torch.where(w[i] > 0, low[i], high[i])).sum())
            most = float((w[i] * torch.where(w[i] > 0, high[i], low[i])).sum())
            assert value == pytest.approx(least if b[i] < least else most)
        else:
            reached += 1
            assert value <= float(b[i]) + 1e-10
            if equality:
                assert value == pytest.approx(float(b[i]), abs=1e-10)
            assert length == pytest.approx(known[0], rel=1e-6, abs=1e-7)
    assert 15 <= reached <= 24


def test_l0_moves_the_fewest_entries():
    x, w, b, low, high = problem(30, 7, seed=5)
    z = project_halfspace(x, w, b, low, high, 0)
    gain = w.abs() * torch.where(w > 0, x - low, high - x)
    for i in range(len(x)):
        need = float(w[i] @ x[i] - b[i])
        counts = [
            k for k in range(8)
            if any(sum(c) >= need - 1e-12 for c in itertools.combinations(gain[i].tolist(), k))
        ]  # fmt: skip
        fewest = counts[0] if counts else int((gain[i] > 0).sum())
        assert int((z[i] != x[i]).sum()) == fewest
        assert not counts or float(w[i] @ z[i]) <= float(b[i]) + 1e-10


@pytest.mark.parametrize("p", [0, *NORMS])
def test_large_rows_agree_with_the_optimality_conditions(p):
    """Long rows take several rounds of selection, and enough bounds are met for many of Newton's."""
    x, w, b, low, high = problem(9, 5000, seed=1)
    w = w * torch.exp(2 * torch.randn(w.shape, generator=torch.Generator().manual_seed(2)))
    gain = w.abs() * torch.where(w > 0, x - low, high - x)
    share = torch.linspace(0.01, 0.999, 9, dtype=torch.float64)
    b = (w * x).sum(1) - share * gain.sum(1)
    z = project_halfspace(x, w, b, low, high, p)
    assert torch.allclose((w * z).sum(1), b, rtol=0, atol=1e-9 * float(gain.sum(1).max()))
    moved, room = (z - x).abs(), torch.where(w > 0, x - low, high - x)
    assert bool(((z - x) * w <= 0).all())
    full, still = moved >= room * (1 - 1e-9), moved == 0
    key = {0: gain, 1: w.abs(), 2: moved / w.abs(), math.inf: moved}[p]
    for i in range(9):
        if p in (0, 1):  # whatever is full pays at least as much as whatever is not
            assert float(key[i][~still[i]].min()) >= float(key[i][~full[i]].max()) - 1e-12
        else:  # one level for all that are free, and no full entry above it
            level = key[i][~full[i] & (w[i] != 0)]
            assert float(level.max() - level.min()) <= 1e-9 * float(level.max()) + 1e-10
            assert (
                float(key[i][full[i]].nan_to_num().max()) <= float(level.max()) * (1 + 1e-9) + 1e-10
            )


@pytest.mark.parametrize("p", [0, *NORMS])
@pytest.mark.parametrize("scale", [1e-30, 1e-40, 1e30])
def test_the_length_of_the_normal_does_not_matter(p, scale):
    x, w, b, low, high = problem(20, 8, seed=7)
    plain = project_halfspace(x, w, b, low, high, p)
    assert torch.allclose(
        project_halfspace(x, w * scale, b * scale, low, high, p), plain, atol=1e-12
    )


@pytest.mark.parametrize("p", [0, *NORMS])
def test_a_zero_normal_or_an_infinite_offset_leaves_numbers(p):
    x, w, b, low, high = problem(4, 5, seed=8, dtype=torch.float32)
    w[0], b[1], b[2], b[3] = 0.0, -math.inf, math.nan, math.inf
    z = project_halfspace(x, w, b, low, high, p)
    assert torch.equal(z[0], x[0])
    assert torch.equal(z[3], x[3])
    corner = torch.where(w > 0, low, high).where(w != 0, x)
    assert torch.equal(z[1:3], corner[1:3])


@pytest.mark.parametrize("p", [0, *NORMS])
def test_without_a_range_the_distance_is_the_dual_norm_s(p):
    x, w = torch.tensor([[0.2, -0.4, 3.0]]), torch.tensor([[1.0, -2.0, 0.5]])
    free = torch.full_like(x, math.inf)
    z = project_halfspace(x, w, torch.tensor([-4.5]), -free, free, p)
    length = {0: 1.0, 1: 7 / 2, 2: 7 / 5.25**0.5, math.inf: 7 / 3.5}[p]
    got = float((z != x).sum()) if p == 0 else float(norm(z - x, p))
    assert got == pytest.approx(length, rel=1e-6)


def test_each_row_is_solved_by_itself_and_shapes_are_kept():
    x, w, b, low, high = problem(5, 12, seed=9, dtype=torch.float32)
    shaped = [each.reshape(5, 3, 2, 2) for each in (x, w, low, high)]
    for p in (0, *NORMS):
        whole = project_halfspace(*shaped[:2], b, *shaped[2:], p)
        alone = [
            project_halfspace(*(e[i : i + 1] for e in (x, w, b, low, high)), p) for i in range(5)
        ]
        assert torch.equal(whole.flatten(1), torch.cat(alone))
        assert whole.dtype == torch.float32
        assert len(project_halfspace(x[:0], w[:0], b[:0], low[:0], high[:0], p)) == 0
    assert bool((violation(torch.where(w > 0, high, low), w, b - 100) > 0).all())
    met = (w * x).sum(1)
    assert bool((violation(x, w, met) == 0).all())
    with pytest.raises(InputError, match="p is 3"):
        project_halfspace(x, w, b, low, high, 3)
