"""Which images a page shows: by a rule that is stated, the same whoever draws it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from saddlepoint.evaluation.breakdown import INITIALLY_WRONG, STANDS

MOST = 48
_EACH = MOST // 4
RULE = (
    f"Shown are at most {MOST} images: of those that are fooled, up to {_EACH} whose change is smallest"
    " (nearest), the first of each class (per class), and those of which the model is surest in its"
    f" error (most confident); and up to {_EACH} that stand, of which it is least sure (stands). An image"
    " that is chosen twice is shown once."
)
"""The rule, in words."""


@dataclass(frozen=True)
class Chosen:
    """An image of the gallery.

    Attributes:
        row: in the record's rows of the budget.
        why: the rules that it was chosen by.

    >>> Chosen(3, ("nearest",)).why
    ('nearest',)
    """

    row: int
    why: tuple[str, ...]


def choose(images: pa.Table, sureness: Mapping[int, float], most: int = MOST) -> list[Chosen]:
    """Return the images to be shown, in the order of the rules.

    Args:
        images: the record's rows of one budget.
        sureness: of a row, the probability of the class that the model gives its worst image; rows
            without one are left out.
        most: images at most.

    >>> table = pa.table({"fooled_by": ["pgd", "", "pgd"], "distance": [0.2, 0.0, 0.1], "label": [1, 1, 0]})
    >>> [each.row for each in choose(table, {0: 0.9, 1: 0.5, 2: 0.8})]
    [2, 0, 1]
    """
    who = images["fooled_by"].to_pylist()
    distance, label = images["distance"].to_numpy(), images["label"].to_numpy()
    known = [row for row in range(len(who)) if row in sureness]
    fooled = [row for row in known if who[row] not in (STANDS, INITIALLY_WRONG)]
    stands = [row for row in known if who[row] == STANDS]
    each = max(most // 4, 1)
    first = {int(label[row]): row for row in reversed(fooled)}
    rules: Sequence[tuple[str, list[int]]] = (
        ("nearest", sorted(fooled, key=lambda row: (distance[row], row))[:each]),
        ("per class", [first[name] for name in sorted(first)][:each]),
        ("most confident", sorted(fooled, key=lambda row: (-sureness[row], row))[:each]),
        ("stands", sorted(stands, key=lambda row: (sureness[row], row))[:each]),
    )
    reasons: dict[int, list[str]] = {}
    for name, rows in rules:
        for row in rows:
            reasons.setdefault(row, []).append(name)
    return [Chosen(row, tuple(names)) for row, names in [*reasons.items()][:most]]


def rows_of(images: pa.Table, level: int, total: int) -> pa.Table:
    """Return the record's rows of the budget of that number.

    >>> rows_of(pa.table({"id": [0, 1, 2, 3, 4, 5]}), 1, 3)["id"].to_pylist()
    [3, 4, 5]
    """
    return images.slice(level * total, total)
