"""A part of the images on its way through an evaluation: which stand, and the worst case of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from saddlepoint.evaluation.journal import Columns
from saddlepoint.evaluation.once import ONCE, reached
from saddlepoint.evaluation.pictures import Pictures
from saddlepoint.threat import Normed, ThreatModel, eps_of

STANDING, WRONG_BEFORE = -1, -2
"""What `fooled_by` holds where it is no attack's number."""

TOLD = ("success", "distance", "predictions", "rejected", "tied", "forwards", "backwards")
"""What a step keeps of the result of an attack, besides the images."""


@dataclass(eq=False)
class Part:
    """Images that are worked on together, and what was found of them so far.

    Attributes:
        ids: (m,) ascending.
        labels: (m,) of them, on the CPU.
        clean: what the model says of the clean images.
        images: reads them.
        standing: which are right, and not fooled at the budget at hand or below.
        starts: (m, …) what the last attack within the budget kept, where survivors start from it.
        pictures: the worst image of each at the budget at hand, where they are kept.
        levels: budgets that are closed.

    >>> yes, no = torch.tensor([True]), torch.tensor([False])
    >>> clean = {"prediction": torch.tensor([3]), "right": yes, "tied": no, "seconds": torch.zeros(1)}
    >>> Part(torch.tensor([7]), torch.tensor([3]), clean, lambda: torch.zeros(1, 2)).standing
    tensor([True])
    """

    ids: Int64[Tensor, " m"]
    labels: Int64[Tensor, " m"]
    clean: Columns
    images: Callable[[], Tensor]
    starts: Tensor | None = None
    pictures: Pictures | None = None
    levels: int = 0
    _rows: list[Columns] = field(default_factory=list)
    _attempts: list[Columns] = field(default_factory=list)
    _once: dict[int, Columns] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.standing: Bool[Tensor, " m"] = self.clean["right"].clone()
        self.right: Int64[Tensor, " r"] = self.ids[self.standing]
        self._seconds = [self.clean["seconds"]]
        self._worst = {
            "fooled_by": torch.where(self.standing, STANDING, WRONG_BEFORE),
            "fooled_at": torch.full((len(self.ids),), torch.nan, dtype=torch.float64),
            "distance": torch.zeros(len(self.ids), dtype=torch.float64),
            "prediction": self.clean["prediction"].clone(),
            "tied": self.clean["tied"].clone(),
        }

    def rows(self, ids: Int64[Tensor, " k"]) -> Int64[Tensor, " k"]:
        """Return the rows of these images of the part."""
        return torch.searchsorted(self.ids, ids)

    def take(self, found: Columns, threat: ThreatModel, number: int, *, once: bool) -> int:
        """Note what the attack of that number found at a budget; return how many it is the first to
        fool.

        Args:
            found: a row per image that it was run on.
            once: it is run once for all budgets, and of what it found counts what lies within.
        """
        first = number not in self._once
        if once:
            self._once[number] = found
        if not found:
            return 0
        if first:
            self._attempts.append(_attempt(found, ONCE if once else self.levels, number))
            self._seconds.append(found["seconds"])
        rows = self.rows(found["id"])
        success = found["success"] & self.standing[rows]
        if once and isinstance(threat, Normed):  # what was found may lie outside this budget
            success &= reached(threat, found["distance"])
        hit, worst = rows[success], self._worst
        if self.pictures is not None and "found" in found:
            self.pictures.take(rows, found["found"], success, self.standing[rows], once=once)
        self.standing[hit] = False
        worst["fooled_by"][hit] = number
        worst["fooled_at"][hit] = float(eps_of(threat, float("nan")))
        worst["distance"][hit] = found["distance"][success]
        worst["prediction"][hit] = found["predictions"][success]
        worst["tied"][hit] = found["tied"][success]
        return len(hit)

    def was_run(self, number: int) -> bool:
        """Return whether an attack that is run once was run."""
        return number in self._once

    def found_once(self) -> list[tuple[int, Columns]]:
        """Return the numbers of attacks that were run once, each with what it found, if anything."""
        return [(number, found) for number, found in self._once.items() if found]

    def again(self, threat: ThreatModel, number: int) -> int | None:
        """Count what an attack that is run once has found at a further budget; return how many it is
        the first to fool there, None where it was not run.
        """
        found = self._once.get(number)
        return None if found is None else self.take(found, threat, number, once=True)

    def keep_starts(self, found: Columns) -> None:
        """Let survivors of the next budget start from what was found."""
        if found:
            some = found["found"]
            empty = some.new_zeros(len(self.ids), *some.shape[1:])
            self.starts = empty.index_copy(0, self.rows(found["id"]), some)

    def close(self) -> None:
        """Write down the worst case of every image: nothing more comes at this budget."""
        self._rows.append(
            {
                "id": self.ids,
                "level": torch.full_like(self.ids, self.levels),
                "label": self.labels,
                "clean_prediction": self.clean["prediction"],
                "clean_tied": self.clean["tied"],
                **{key: value.clone() for key, value in self._worst.items()},
            }
        )
        self.levels += 1

    def release(self) -> None:
        """Forget images, which nobody asks for once all budgets are closed."""
        self.starts = self.pictures = None
        self._once.clear()

    def seconds(self) -> Float64[Tensor, " s"]:
        """Return what the passes took, in pieces."""
        return torch.cat(self._seconds)

    def columns(self) -> Columns:
        """Return all rows, `images/…` and `attempts/…`."""
        return {**_joined("images", self._rows), **_joined("attempts", self._attempts)}


_EMPTY = {
    "id": torch.int64, "level": torch.int64, "attack": torch.int64, "success": torch.bool,
    "distance": torch.float64, "prediction": torch.int64, "rejected": torch.bool,
    "tied": torch.bool,
    "forwards": torch.int64, "backwards": torch.int64,
}  # fmt: skip


def _attempt(found: Columns, level: int, number: int) -> Columns:
    names: Mapping[str, str] = {"predictions": "prediction"}
    return {
        "id": found["id"],
        "level": torch.full_like(found["id"], level),
        "attack": torch.full_like(found["id"], number),
        **{names.get(key, key): found[key] for key in TOLD},
    }


def _joined(table: str, rows: Sequence[Columns]) -> Columns:
    if not rows:  # every image was wrong before any attack
        rows = [{name: torch.zeros(0, dtype=kind) for name, kind in _EMPTY.items()}]
    return {f"{table}/{name}": torch.cat([row[name] for row in rows]) for name in rows[0]}
