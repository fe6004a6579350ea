"""How far a study is, from its store alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from saddlepoint.reading import decoding
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
    store = Store.finished(Path(folder))
    health = {cell["address"]: store.health(cell["address"]) for cell in store.plan["cells"]}
    labels = {cell["address"]: cell["label"] for cell in store.plan["cells"]}
    # Through the places: variants that are the same thing share their cells.
    cells: dict[str, tuple[set[str], set[str]]] = {}
    for place in store.plan["places"]:
        trainings, evaluations = cells.setdefault(place["variant"], (set(), set()))
        trainings.add(place["training"])
        evaluations.add(place["evaluation"])

    def finished(addresses: set[str]) -> int:
        return sum(health[address] == "finished" for address in addresses)

    counts = {v: (finished(t), len(t), finished(e), len(e)) for v, (t, e) in cells.items()}
    failures = {a: store.failure(a) for a, state in health.items() if state != "finished"}
    with decoding(store.root, "a whole study"):
        seconds = sum(
            float(store.record(address)["seconds"])
            for address, state in health.items()
            if state == "finished"
        )
    return StudyStatus(
        name=str(store.study.get("name")),
        counts=counts,
        failed={labels[a]: error for a, error in failures.items() if error is not None},
        damaged=tuple(labels[a] for a, state in health.items() if state == "damaged"),
        seconds=seconds,
    )
