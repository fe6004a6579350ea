"""The decision boundaries near an iterate, replaced by the hyperplanes that touch them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from saddlepoint.attacks.geometry.half_spaces import project_halfspace, violation
from saddlepoint.threat.norms import norm

BEYOND = 2
"""Where a step aims: this many times as far below 0 as a sure success must be."""


@dataclass(frozen=True, eq=False)
class Boundaries:
    """The linearised boundaries of k classes at `x`: margin + ⟨normal, z − x⟩ = 0.

    Attributes:
        x: (m, …) where the model was linearised.
        logits: (m, K) there.
        classes: (m, k) whose boundaries these are; None for a criterion with one margin alone.
        margins: (m, k), negative where that class has won.
        normals: (m, k, …) the gradients of the margins.
        rounding: (m,) how far below 0 a margin must be to hold in another batch.

    >>> x, normals = torch.zeros(1, 2), torch.tensor([[[3.0, 4.0], [0.0, 1.0]]])
    >>> margins = torch.tensor([[10.0, 1.0]])
    >>> near = Boundaries(x, torch.zeros(1, 3), None, margins, normals, torch.zeros(1))
    >>> near.distances(2.0)
    tensor([[2., 1.]])
    """

    x: Float[Tensor, "m ..."]
    logits: Float[Tensor, "m K"]
    classes: Int64[Tensor, "m k"] | None
    margins: Float[Tensor, "m k"]
    normals: Float[Tensor, "m k ..."]
    rounding: Float[Tensor, " m"]

    def at(self, rows: Tensor) -> Boundaries:
        """Return the boundaries of the selected samples."""
        classes = None if self.classes is None else self.classes[rows]
        parts = (self.margins[rows], self.normals[rows], self.rounding[rows])
        return Boundaries(self.x[rows], self.logits[rows], classes, *parts)

    @property
    def beyond(self) -> Float[Tensor, " m"]:
        """How far a margin must be below 0 so that rounding cannot undo the success."""
        return BEYOND * self.rounding

    @property
    def dead(self) -> Bool[Tensor, " m"]:
        """Return where every normal is zero, so that nothing leads anywhere."""
        return (self.normals == 0).flatten(1).all(1)

    def distances(
        self, p: float, margins: Float[Tensor, "m k"] | None = None
    ) -> Float[Tensor, "m k"]:
        """Return |margin| over the dual norm of the normal, infinite where that is zero.

        It is the p-distance to each boundary without regard for the range. `margins` are those at
        another point, by default at `x`.
        """
        size = self.lengths(p)
        far = (self.margins if margins is None else margins).abs() / size
        return torch.where(size > 0, far, math.inf).nan_to_num(nan=math.inf, posinf=math.inf)

    def pick(
        self, which: Int64[Tensor, " m"]
    ) -> tuple[Float[Tensor, " m"], Float[Tensor, "m ..."]]:
        """Return the margin and the normal of boundary `which` of each sample."""
        rows = torch.arange(len(which), device=which.device)
        return self.margins[rows, which], self.normals[rows, which]

    def project(
        self,
        point: Float[Tensor, "m ..."],
        low: Float[Tensor, "m ..."],
        high: Float[Tensor, "m ..."],
        p: float,
        overshoot: float = 0.0,
    ) -> Float[Tensor, "m ..."]:
        """Return the point in the range nearest to `point` at which some class has won, linearly.

        A boundary further from `point` than one in reach even without regard for the range is left
        out. Where the range reaches none, the result is what comes nearest to one.

        Args:
            point: (m, …) what to project.
            low, high: (m, …) the range.
            p: the norm, 0, 1, 2 or inf.
            overshoot: go on beyond the boundary by this part of the margin at `point`.
        """
        moved = (point - self.x).flatten(1)
        margins = self.margins + torch.einsum("mkd,md->mk", self.normals.flatten(2), moved)
        goal = margins + overshoot * margins.clamp_min(0) + self.beyond[:, None]
        least = self.distances(p, goal.clamp_min(0))
        least, order = least.sort(dim=1, stable=True)
        nearest, length = point.clone(), torch.full_like(least[:, 0], math.inf)
        missing = torch.full_like(length, math.inf, dtype=torch.float64)
        for rank in range(order.shape[1]):
            # a number of features says nothing of the lengths that the boundaries are in order of
            open_ = (missing > 0) | (least[:, rank] < length) | (p == 0)
            rows = open_.nonzero().squeeze(1)
            if not len(rows):
                break
            which = order[rows, rank]
            w, start = self.normals[rows, which], point[rows]
            offset = (w.double() * start.double()).flatten(1).sum(1) - goal[rows, which].double()
            z = project_halfspace(start, w, offset, low[rows], high[rows], p)
            left, far = violation(z, w, offset), norm(z - start, p)
            better = (left < missing[rows]) | ((left == missing[rows]) & (far < length[rows]))
            won = rows[better]
            nearest[won], length[won], missing[won] = z[better], far[better], left[better]
        return nearest

    def lengths(self, p: float) -> Float[Tensor, "m k"]:
        """Return the dual norm of every normal: by how much a margin falls per unit of p-norm; in L0,
        which has none, that of L1.
        """
        dual = {0: math.inf, 1: math.inf, 2: 2.0, math.inf: 1.0}[p]
        # One after the other: the norm of all would take as much memory again as the normals.
        each = [norm(self.normals[:, j], dual) for j in range(self.normals.shape[1])]
        return torch.stack(each, dim=1)
