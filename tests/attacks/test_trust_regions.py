"""The best step of a trust region, against a general solver and, in L0, against every support."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from scipy import optimize

from saddlepoint.attacks.geometry.half_spaces import project_halfspace
from saddlepoint.attacks.geometry.trust_regions import trust_region_step
from saddlepoint.errors import InputError

NORMS = pytest.mark.parametrize("p", [0, 1, 2, math.inf])


def problems(count, d, seed=0):
    """Problems in float64: the clean image, x, b, c, the range and the radius."""
    random = torch.Generator().manual_seed(seed)
    clean, x = torch.rand(2, count, d, generator=random, dtype=torch.float64)
    normal = torch.randn(count, d, generator=random, dtype=torch.float64)
    change = 0.3 * torch.randn(count, generator=random, dtype=torch.float64)
    radius = 0.05 + torch.rand(count, generator=random, dtype=torch.float64)
    return clean, x, normal, change, torch.zeros_like(x), torch.ones_like(x), radius


def length(delta, p):
    return (delta != 0).sum(1).double() if p == 0 else delta.norm(p, dim=1)


def solved(clean, x, b, c, radius, p):
    """The least distance, by sequential quadratic programming with slack for L1 and Linf; or None."""
    clean, x, b = (each.numpy() for each in (clean, x, b))
    d, slack = len(x), {1: len(x), 2: 0, math.inf: 1}[p]
    pad = torch.zeros(slack).numpy()

    def z(v):
        return v[:d]

    conditions = [
        {"type": "eq", "fun": lambda v: b @ (z(v) - x) - c},
        {"type": "ineq", "fun": lambda v: radius**2 - ((z(v) - x) ** 2).sum()},
    ]
    if slack:
        conditions += [
            {"type": "ineq", "fun": lambda v: v[d:] - (z(v) - clean)},
            {"type": "ineq", "fun": lambda v: v[d:] + (z(v) - clean)},
        ]
    start = [*x, *(pad + abs(x - clean).max())]
    found = optimize.minimize(
        (lambda v: v[d:].sum()) if slack else (lambda v: ((v - clean) ** 2).sum()),
        start,
        bounds=[(0, 1)] * d + [(0, 2)] * slack,
        constraints=conditions,
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-12},
    )
    if not found.success:
        return None
    return found.fun if slack else math.sqrt(found.fun)


@NORMS
def test_the_step_keeps_to_the_hyperplane_the_range_and_the_trust_region(p):
    clean, x, b, c, low, high, radius = problems(200, 12)
    z, reached = trust_region_step(clean, x, b, c, low, high, radius, p)
    assert reached.any()
    assert not reached.all()
    assert bool(((z >= low) & (z <= high)).all())
    assert float(((z - x).norm(dim=1) - radius).max()) <= 1e-9
    made = (b * (z - x)).sum(1)
    torch.testing.assert_close(made[reached], c[reached], atol=1e-8, rtol=0)
    nearest = project_halfspace(x, b, (b * x).sum(1) + c, low, high, 2, equality=True)
    torch.testing.assert_close(reached, (nearest - x).norm(dim=1) <= radius)


@pytest.mark.parametrize("p", [1, 2, math.inf])
def test_no_solver_finds_a_nearer_one(p):
    clean, x, b, c, low, high, radius = problems(40, 8)
    z, reached = trust_region_step(clean, x, b, c, low, high, radius, p)
    compared = 0
    for row in reached.nonzero().squeeze(1).tolist():
        best = solved(clean[row], x[row], b[row], float(c[row]), float(radius[row]), p)
        if best is not None:
            compared += 1
            assert float(length(z - clean, p)[row]) <= best + 1e-6
    assert compared >= 25


@NORMS
def test_out_of_reach_it_is_the_largest_step_towards_the_hyperplane(p):
    clean, x, b, _, low, high, radius = problems(50, 12)
    far = torch.full((50,), 100.0, dtype=torch.float64)
    z, reached = trust_region_step(clean, x, b, far, low, high, radius, p)
    assert not reached.any()
    made = (b * (z - x)).sum(1)
    random = torch.Generator().manual_seed(1)
    for _ in range(200):
        other = x + radius[:, None] * torch.nn.functional.normalize(
            b + torch.randn(50, 12, generator=random, dtype=torch.float64), dim=1
        )
        assert bool(((b * (other.clamp(low, high) - x)).sum(1) <= made + 1e-9).all())


def test_in_l0_it_is_within_an_entry_or_two_of_the_fewest():
    clean, x, b, c, low, high, radius = problems(60, 8)
    z, reached = trust_region_step(clean, x, b, c, low, high, radius, 0)
    rows = reached.nonzero().squeeze(1)
    clean, x, b, c, low, high, radius = (t[rows] for t in (clean, x, b, c, low, high, radius))
    fewest = torch.full((len(rows),), math.inf, dtype=torch.float64)
    offset = (b * x).sum(1) + c
    for support in itertools.product([False, True], repeat=8):
        moves = torch.tensor(support)
        least, most = torch.where(moves, low, clean), torch.where(moves, high, clean)
        point = torch.where(moves, x, clean)
        other = project_halfspace(point, b, offset, least, most, 2, equality=True)
        held = ((b * other).sum(1) - offset).abs() <= 1e-9
        held &= (other - x).norm(dim=1) <= radius
        fewest = torch.where(held, fewest.minimum(moves.sum().double()), fewest)
    gap = length(z[rows] - clean, 0) - fewest
    assert float(gap.min()) >= 0
    assert float(gap.mean()) <= 0.5
    assert float(gap.max()) <= 2


def test_a_looser_trust_region_is_no_larger_one():
    parts = problems(100, 12)
    exact, reached = trust_region_step(*parts, 2)
    loose, _ = trust_region_step(*parts, 2, tolerance=0.05)
    clean, x, *_, radius = parts
    assert float(((loose - x).norm(dim=1) - radius).max()) <= 1e-9
    nearer = (exact - clean).norm(dim=1) <= (loose - clean).norm(dim=1) + 1e-9
    assert bool(nearer[reached].all())


@NORMS
def test_zeros_and_extremes_leave_numbers(p):
    clean, x, b, c, low, high, radius = problems(4, 5)
    b[0], c[1], radius[2] = 0.0, 0.0, 1e-12
    b[3] *= 1e-30
    z, _ = trust_region_step(clean, x, b, c, low, high, radius, p)
    assert bool(z.isfinite().all())
    assert bool(((z >= low) & (z <= high)).all())


def test_another_norm_is_refused():
    with pytest.raises(InputError, match="p is 3; it is 0, 1, 2 or inf"):
        trust_region_step(*problems(1, 2), 3)
