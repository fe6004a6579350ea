"""Which images several models fail on together, and which one alone resists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from saddlepoint.evaluation.common_budgets import common_budgets
from saddlepoint.evaluation.outcomes import outcomes
from saddlepoint.evaluation.record import Evaluation
from saddlepoint.evaluation.tables import budget_text
from saddlepoint.tables import Table

_SHOWN = 20


@dataclass(frozen=True, eq=False)
class Overlap:
    """Of several models, which images each resists at one budget.

    Attributes:
        eps: the budget.
        resisted: of each model, which images it has right under attack.

    >>> overlap = Overlap(0.1, {"a": np.array([True, False, False]), "b": np.array([True, True, False])})
    >>> overlap.shared("a", "b"), overlap.alone("b").tolist()
    ((1, 2), [1])
    """

    eps: float
    resisted: Mapping[str, Bool[NDArray[np.bool_], " n"]]

    def shared(self, first: str, second: str) -> tuple[int, int]:
        """Return how many images both fail on, and how many either does."""
        a, b = ~self.resisted[first], ~self.resisted[second]
        return int((a & b).sum()), int((a | b).sum())

    def alone(self, name: str) -> NDArray[np.int64]:
        """Return the ids of the images that this model alone resists."""
        others = [each for other, each in self.resisted.items() if other != name]
        return np.flatnonzero(self.resisted[name] & ~np.any(others, axis=0))

    def tables(self) -> tuple[Table, Table]:
        """Return the overlap of failures, and the images that one alone resists."""
        names = tuple(self.resisted)
        where = budget_text(self.eps)
        rows = []
        for first in names:
            cells = []
            for second in names:
                both, either = self.shared(first, second)
                share = f" ({100 * both / either:.0f} %)" if either and first != second else ""
                cells.append(f"{both:,}{share}")
            rows.append((first, *cells))
        overlap = Table(
            f"Images that both fail on at {where}, and their share of those that either fails on",
            ("model", *names),
            rows,
        )
        found = []
        for name in names:
            ids = self.alone(name)
            more = f" and {len(ids) - _SHOWN:,} more" if len(ids) > _SHOWN else ""
            which = f"image {', '.join(map(str, ids[:_SHOWN]))}{more}" if len(ids) else ""
            found.append((name, f"{len(ids):,}", which))
        title = f"Images that one model alone resists at {where}"
        return overlap, Table(title, ("model", "images", "which"), found)

    def json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        names = tuple(self.resisted)
        pairs = [
            {"first": a, "second": b, "both_fail": both, "either_fails": either}
            for i, a in enumerate(names)
            for b in names[i + 1 :]
            for both, either in [self.shared(a, b)]
        ]
        return {
            "eps": self.eps if np.isfinite(self.eps) else None,
            "pairs": pairs,
            "alone": {name: self.alone(name).tolist() for name in names},
        }


def overlap_of(
    evaluations: Mapping[str, Evaluation], eps: Sequence[float] | None = None
) -> Overlap | None:
    """Return the overlap at the largest budget that all evaluations have, or of those asked for; None
    where there is none.

    The evaluations must be of the same images: `compare` says so.

    >>> overlap_of({}) is None
    True
    """
    if not evaluations:
        return None
    budgets = {name: [b.eps for b in each.budgets] for name, each in evaluations.items()}
    common = common_budgets(budgets, eps or None)
    if not common:
        return None
    largest, at = [*common.items()][-1]
    found = {name: outcomes(name, evaluations[name]).resisted[level] for name, level in at.items()}
    return Overlap(largest, found)
