"""What an engine and its workers share: the job of one cell, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from saddlepoint.studies.grid import Cell


@dataclass(frozen=True, eq=False)
class Job:
    """A cell to be run, as plain values, which any process on any machine can be sent.

    Attributes:
        store: the folder of the study.
        data_root: where named data sets lie; None for the usual place.
        study: the specification, as JSON values.
        cell: of its grid.

    >>> Job("runs/first", None, {}, Cell("training", "original", 0, None, "", {})).cell.label
    'original, seed 0, training'
    """

    store: str
    data_root: str | None
    study: dict[str, Any]
    cell: Cell


@dataclass(frozen=True)
class Outcome:
    """What became of a job: "finished", "failed", "busy" (another process works on it), "refused"
    (the disk does not take the result) or "lost" (its worker died).

    >>> Outcome("0123456789abcdef", "finished", 1.5).error
    ''
    """

    address: str
    status: Literal["finished", "failed", "busy", "refused", "lost"]
    seconds: float
    error: str = ""
    trace: str = ""
