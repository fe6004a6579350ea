"""How far a study is, from its store alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from saddlepoint.studies.store import Store


@dataclass(frozen=True)
class StudyStatus:
    """What of a study is finished.

    Attributes:
        name: of the study.
        counts: by variant: trainings finished and in all, evaluations finished and in all.
        failed: the error of each failed cell, by label.
        damaged: labels of cells whose files are not what was written.
        seconds: the time of the finished cells.

    >>> StudyStatus("s", {"original": (1, 1, 2, 2)}, {}, (), 3.0).complete
    True
    """

    name: str
    counts: Mapping[str, tuple[int, int, int, int]]
    failed: Mapping[str, str]
    damaged: tuple[str, ...]
    seconds: float

    @property
    def complete(self) -> bool:
        """Whether every cell is finished."""
        return all(a == b and c == d for a, b, c, d in self.counts.values())


def load_status(folder: Path | str) -> StudyStatus:
    """Return how far the study in a folder is; raises `InputError` where it holds none.

    >>> load_status("no-such-folder")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: cannot read no-such-folder/study.json: No such file or directory
    """
    store = Store(Path(folder))
    counts: dict[str, list[int]] = {}
    failed: dict[str, str] = {}
    damaged = []
    seconds = 0.0
    for cell in store.plan["cells"]:
        address, row = cell["address"], counts.setdefault(cell["variant"], [0, 0, 0, 0])
        at = 0 if cell["kind"] == "training" else 2
        row[at + 1] += 1
        health = store.health(address)
        if health == "finished":
            row[at] += 1
            seconds += float(store.record(address).get("seconds", 0.0))
        elif health == "damaged":
            damaged.append(cell["label"])
        elif (error := store.failure(address)) is not None:
            failed[cell["label"]] = error
    whole = {variant: (a, b, c, d) for variant, (a, b, c, d) in counts.items()}
    return StudyStatus(store.study["name"], whole, failed, tuple(damaged), seconds)
