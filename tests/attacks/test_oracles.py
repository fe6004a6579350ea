"""The oracles themselves: against dense grids, against an integer program, against each other."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from oracle_linear import least_distance
from oracle_polyhedra import NORMS, Polyhedron, least_squares, nearest
from oracle_relu import Cells, relu_net
from oracles import cases
from scipy.optimize import LinearConstraint, milp

GRID = 301


def grid_distances(net, image, goal, targeted):
    """The least distances among the points of a dense grid that goes through the image."""
    axes = [torch.cat([torch.linspace(0, 1, GRID).double(), v[None]]) for v in image]
    points = torch.cartesian_prod(*axes)
    with torch.no_grad():
        is_goal = net(points).argmax(1) == goal
    change = points[is_goal if targeted else ~is_goal] - image
    if not len(change):
        return dict.fromkeys(NORMS, math.inf)
    orders = {"L0": 0, "L1": 1, "L2": 2, "Linf": math.inf}
    return {norm: float(change.norm(p, dim=1).min()) for norm, p in orders.items()}


@pytest.mark.parametrize("seed", range(4))
def test_the_cells_agree_with_a_dense_grid(seed):
    net = relu_net(2, 5, 3, seed)
    cells = Cells(net)
    generator = torch.Generator().manual_seed(seed)
    images = (1.6 * torch.rand(4, 2, generator=generator).double() - 0.3).clamp(0, 1)
    for image in images:
        label = int(net(image[None]).argmax())
        for goal, targeted in ((label, False), ((label + 1) % 3, True), ((label + 2) % 3, True)):
            exact = cells.distances(image, goal, targeted)
            grid = grid_distances(net, image, goal, targeted)
            assert exact["L0"] == grid["L0"]
            for norm in ("L1", "L2", "Linf"):
                if math.isinf(grid[norm]):
                    assert math.isinf(exact[norm])
                    continue
                assert exact[norm] <= grid[norm] + 1e-9, "the grid has a nearer point"
                assert grid[norm] <= exact[norm] + 4 / GRID, "the oracle is too optimistic"


def test_the_grid_sees_every_kind_of_case():
    """Small nets in the plane: no change, one, two, and a class that wins nowhere."""
    kinds = set()
    for seed in range(4):
        cells = Cells(relu_net(2, 5, 3, seed))
        for image in torch.rand(5, 2, generator=torch.Generator().manual_seed(seed)).double():
            kinds |= {cells.distances(image, goal, True)["L0"] for goal in range(3)}
    assert kinds >= {0.0, 1.0, 2.0}
    net = relu_net(2, 5, 3, 0)
    net[2].bias.data[0] -= 100
    image = torch.full((2,), 0.5, dtype=torch.float64)
    assert Cells(net).distances(image, 0, True) == grid_distances(net, image, 0, True)
    assert math.isinf(Cells(net).distances(image, 0, True)["L2"])


def integer_program(net, image, label, norm):
    """The nearest adversarial example as a mixed-integer program with one binary per unit."""
    A, a, C, c = (p.detach().numpy() for p in net.parameters())
    x, (h, d) = image.numpy(), A.shape
    least, most = a + np.minimum(A, 0).sum(1), a + np.maximum(A, 0).sum(1)
    # Unknowns: v (d), r = relu(A·v + a) (h), its binary s (h), t ≥ |v − x| (d), and their largest.
    size = 2 * d + 2 * h + 1
    V, R, S, T = (slice(0, d), slice(d, d + h), slice(d + h, d + 2 * h), slice(d + 2 * h, -1))
    rows, low = [], []

    def add(row, offset):
        rows.append(row)
        low.append(offset)

    for i in range(h):
        for coefficients, offset in (
            ({"V": -A[i], "r": 1.0}, a[i]),
            ({"V": A[i], "r": -1.0, "s": least[i]}, least[i] - a[i]),
            ({"r": -1.0, "s": max(most[i], 0.0)}, 0.0),
        ):
            row = np.zeros(size)
            row[V] = coefficients.get("V", 0)
            row[R.start + i], row[S.start + i] = coefficients["r"], coefficients.get("s", 0)
            add(row, offset)
    for i, sign in itertools.product(range(d), (1, -1)):
        row = np.zeros(size)
        row[T.start + i], row[i] = 1, sign
        add(row, sign * x[i])
        largest = np.zeros(size)
        largest[-1], largest[T.start + i] = 1, -1
        add(largest, 0)
    cost = np.zeros(size)
    cost[T if norm == "L1" else -1] = 1
    integral = np.zeros(size)
    integral[S] = 1
    upper = np.full(size, np.inf)
    upper[V], upper[S] = 1, 1
    best = math.inf
    for j in {0, 1, 2} - {label}:
        row = np.zeros(size)
        row[R] = C[j] - C[label]
        found = milp(
            cost,
            constraints=LinearConstraint(np.array([*rows, row]), [*low, c[label] - c[j]], np.inf),
            integrality=integral,
            bounds=(np.zeros(size), upper),
        )
        best = min(best, found.fun if found.success else math.inf)
    return best


@pytest.mark.parametrize("norm", ["L1", "Linf"])
def test_the_cells_agree_with_an_integer_program(norm):
    (case,) = cases("relu", 1)
    for image, label, exact in zip(case.images, case.labels, case.optimum[norm], strict=True):
        found = integer_program(case.net, image, int(label), norm)
        assert found == pytest.approx(float(exact), abs=1e-5)


@pytest.mark.parametrize("seed", range(8))
def test_the_closed_forms_agree_with_the_programs(seed):
    generator = torch.Generator().manual_seed(seed)
    W, b = torch.randn(4, 7, generator=generator).double(), torch.zeros(4).double()
    W[1, :2] = 0.0
    for image in (1.6 * torch.rand(5, 7, generator=generator).double() - 0.3).clamp(0, 1):
        label = int((W @ image).argmax())
        others = [j for j in range(4) if j != label]
        halves = [
            Polyhedron.of((W[j] - W[label])[None].numpy(), np.zeros(1)) & Polyhedron.box(7)
            for j in others
        ]
        exact = nearest([each.seen_from(image.numpy()) for each in halves])
        for norm in NORMS:
            assert least_distance(W, b, image, label, norm) == pytest.approx(exact[norm], abs=1e-7)


def test_an_empty_polyhedron_has_no_nearest_point():
    row = np.array([[1.0, 0.0]])
    assert least_squares(Polyhedron.box(2) & Polyhedron(row, np.array([1.001]))) is None
    corner = Polyhedron.box(2) & Polyhedron.of(np.array([[1.0, 1.0]]), np.array([1.999]))
    assert nearest([corner]) == pytest.approx(
        {"L0": 2, "L1": 1.999, "L2": 1.4135, "Linf": 0.9995}, abs=1e-4
    )
    assert set(nearest([Polyhedron.box(2) & Polyhedron(-row, np.array([0.5]))]).values()) == {
        math.inf
    }


@pytest.mark.parametrize("kind", ["linear", "relu"])
def test_the_cases_are_neither_trivial_nor_alike(kind):
    some = cases(kind, 2)
    for case in some:
        assert torch.equal(case.net(case.images).argmax(1), case.labels)
        assert bool(((case.images == 0) | (case.images == 1)).any())
        for norm, stronger in (("L1", "L2"), ("L2", "Linf")):
            assert bool((case.optimum[norm] >= case.optimum[stronger] - 1e-9).all())
            assert bool((case.targeted[norm] >= case.optimum[norm] - 1e-9).all())
    assert float(torch.cat([case.optimum["Linf"] for case in some]).min()) > 0.02
    assert len(torch.cat([case.optimum["L0"] for case in some]).unique()) >= 2
