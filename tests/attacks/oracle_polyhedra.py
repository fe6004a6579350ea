"""The solvers of the oracles: the least norm of a point in a polyhedron, exactly."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog, nnls

NORMS = ("L0", "L1", "L2", "Linf")
# A least-distance problem inside the unit box of a few dimensions has ρ = 1/(1 + length²) above
# this, and one without a solution has ρ = 0.
_FEASIBLE = 1e-6


@dataclass(frozen=True)
class Polyhedron:
    """The points v with rows·v ≥ offsets; the rows have unit length."""

    rows: np.ndarray
    offsets: np.ndarray

    @staticmethod
    def of(rows: np.ndarray, offsets: np.ndarray) -> Polyhedron:
        length = np.linalg.norm(rows, axis=1)
        length = np.where(length > 0, length, 1.0)
        return Polyhedron(rows / length[:, None], offsets / length)

    @staticmethod
    def box(dimensions: int) -> Polyhedron:
        """The valid range [0, 1]."""
        eye = np.eye(dimensions)
        return Polyhedron(np.vstack([eye, -eye]), np.repeat([0.0, -1.0], dimensions))

    def __and__(self, other: Polyhedron) -> Polyhedron:
        rows = np.vstack([self.rows, other.rows])
        return Polyhedron(rows, np.concatenate([self.offsets, other.offsets]))

    def seen_from(self, x: np.ndarray) -> Polyhedron:
        """The same points as changes of `x`."""
        return Polyhedron(self.rows, self.offsets - self.rows @ x)

    @property
    def empty(self) -> bool:
        return least_squares(self) is None


def least_squares(polyhedron: Polyhedron) -> np.ndarray | None:
    """Return the u of least ‖u‖₂ in the polyhedron, None where it is empty.

    Least-distance programming as non-negative least squares (Lawson and Hanson 1974, chapter 23):
    with E = [rowsᵀ; offsetsᵀ] and f = (0, …, 0, 1), the residual r of min ‖E·y − f‖ over y ≥ 0 is
    the answer, u = −r/r_last, and y/ρ with ρ = ‖r‖² are its multipliers.
    """
    rows, offsets = polyhedron.rows, polyhedron.offsets
    E = np.vstack([rows.T, offsets])
    f = np.zeros(len(E))
    f[-1] = 1.0
    y, _ = nnls(E, f)
    r = f - E @ y
    rho = float(r @ r)
    if rho < _FEASIBLE:
        return None
    multipliers = y / rho
    u = rows.T @ multipliers
    # The conditions of Karush, Kuhn and Tucker; the program is convex, so they prove the optimum.
    assert multipliers.min() >= 0
    assert (rows @ u - offsets).min() >= -1e-8, "not feasible"
    assert abs(u @ u - offsets @ multipliers) < 1e-8, "a gap to the dual"
    return u


def linear_program(polyhedron: Polyhedron, norm: str) -> float:
    """Return the least ‖u‖₁ or ‖u‖∞ in the polyhedron, infinity where it is empty."""
    rows, offsets = polyhedron.rows, polyhedron.offsets
    d = rows.shape[1]
    if norm == "L1":  # u = p − n with p, n ≥ 0
        cost = np.ones(2 * d)
        above, least = np.hstack([rows, -rows]), offsets
        bounds = [(0, None)] * (2 * d)
    else:  # t ≥ ±u
        cost = np.append(np.zeros(d), 1.0)
        eye, one = np.eye(d), np.ones((d, 1))
        plain = np.hstack([rows, np.zeros((len(rows), 1))])
        above = np.vstack([plain, np.hstack([eye, one]), np.hstack([-eye, one])])
        least = np.append(offsets, np.zeros(2 * d))
        bounds = [(None, None)] * d + [(0, None)]
    found = linprog(cost, A_ub=-above, b_ub=-least, bounds=bounds, method="highs")
    assert found.status in (0, 2), found.message
    return float(found.fun) if found.status == 0 else math.inf


def nearest(polyhedra: Sequence[Polyhedron]) -> dict[str, float]:
    """Return the least norm of a point in any of the polyhedra, in each of `NORMS`."""
    solved = [(u, each) for each in polyhedra if (u := least_squares(each)) is not None]
    if not solved:
        return dict.fromkeys(NORMS, math.inf)
    points, some = zip(*solved, strict=True)
    return {
        "L0": _fewest(some),
        "L1": _by_programs(some, points, "L1"),
        "L2": min(float(np.linalg.norm(u)) for u in points),
        "Linf": _by_programs(some, points, "Linf"),
    }


def _by_programs(polyhedra: Sequence[Polyhedron], points: Sequence[np.ndarray], norm: str) -> float:
    """Return the least over the linear programs of the polyhedra, leaving out what is too far.

    u, the nearest point in L2, is in the cone of the rows, so every v of the polyhedron has
    u·v ≥ ‖u‖₂² and hence ‖v‖ ≥ ‖u‖₂²/‖u‖ with the dual norm below.
    """
    dual = {"L1": np.inf, "Linf": 1}[norm]
    bounds = [float(u @ u / max(np.linalg.norm(u, dual), 1e-300)) for u in points]
    best = math.inf
    for i in np.argsort(bounds):
        if bounds[i] >= best:
            break
        best = min(best, linear_program(polyhedra[i], norm))
    return best


def _fewest(polyhedra: Sequence[Polyhedron]) -> float:
    """Return the size of the smallest support on which any of the polyhedra has a point."""
    d = polyhedra[0].rows.shape[1]
    supports = [s for k in range(d + 1) for s in itertools.combinations(range(d), k)]
    chosen = np.array([[i in s for i in range(d)] for s in supports], dtype=float)
    best = d
    for each in polyhedra:
        # No change in the box goes further against a row than this.
        gain = np.abs(each.rows) @ chosen.T
        for i in np.flatnonzero((gain >= each.offsets[:, None]).all(0)):
            if len(supports[i]) >= best:
                break
            if not Polyhedron(each.rows[:, supports[i]], each.offsets).empty:
                best = len(supports[i])
    return float(best)
