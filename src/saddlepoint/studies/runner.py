"""Running a study: hand the cells to an engine, keep what it finishes, go on where it fails."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from saddlepoint.errors import OutputError
from saddlepoint.studies.build import (
    DataFacts,
    check_device,
    check_models,
    study_data,
    with_absolute_files,
)
from saddlepoint.studies.engine import Engine, LocalEngine
from saddlepoint.studies.grid import Cell, Grid, build_grid, select
from saddlepoint.studies.job import Job, Outcome
from saddlepoint.studies.pace import Pace
from saddlepoint.studies.spec import StudySpec
from saddlepoint.studies.store import Store
from saddlepoint.studies.telling import CellAtWork, told

_LIVES = 3  # a cell whose worker died so often is what kills it
_PATIENCE = 1.0  # seconds between two looks at a cell that another runner has


@dataclass(frozen=True)
class StudyProgress:
    """How far a run is.

    Attributes:
        total: cells of the grid, or of the part that was asked for.
        finished: of them, those of earlier runs among them.
        failed: the error of each failed cell, by label.
        running: each cell at work here, by label.
        elsewhere: cells that another runner has.
        blocked: evaluations whose training failed.
        seconds_left: an estimate from the cells finished and at work so far; None before they tell.
        notes: what happened on the way: damaged cells set aside, workers that died.

    >>> StudyProgress(total=4, finished=4).complete
    True
    """

    total: int
    finished: int
    failed: dict[str, str] = field(default_factory=dict)
    running: dict[str, CellAtWork] = field(default_factory=dict)
    elsewhere: int = 0
    blocked: int = 0
    seconds_left: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every cell is finished."""
        return self.finished == self.total

    @property
    def share(self) -> float:
        """The share of the cells that are finished, with what is done of those at work."""
        within = sum(cell.share for cell in self.running.values())
        return (self.finished + within) / self.total if self.total else 1.0


def run_study(
    spec: StudySpec,
    out: Path | str,
    *,
    engine: Engine | None = None,
    workers: int = 1,
    only: str | None = None,
    data_root: Path | str | None = None,
    progress: Callable[[StudyProgress], None] | None = None,
) -> StudyProgress:
    """Run the cells of a study that are not finished yet; finished ones are never run again.

    Args:
        spec: the study.
        out: its folder; other runners may work on it at the same time.
        engine: what runs the cells, closed by the caller; None is `LocalEngine(workers)`.
        workers: processes of the local engine.
        only: run the cells whose label matches, and the trainings they need; see `select`.
        data_root: where named data sets lie.
        progress: called after every change, and about once a second.

    Raises `InputError` for a folder of another study, `OutputError` where the disk refuses: what
    is finished stays. A cell that fails is recorded, and tried again by the next run.

    >>> import tempfile
    >>> from saddlepoint.studies import parse_study
    >>> spec = parse_study("{name: s, data: {name: digits, train_limit: 64, test_limit: 16}, "
    ...     "eps: [0.1], attacks: {fgsm: {name: fgsm}}, recipe: {epochs: 1}, variants: {o: []}}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run_study(spec, folder).finished
    2
    """
    train, test = (study_data(spec.data, split, data_root) for split in ("train", "test"))
    facts = DataFacts.of(train)
    check_device(spec)
    spec = with_absolute_files(spec)
    grid = build_grid(spec, train, test)
    cells = select(grid, only)
    check_models(spec, facts)
    store = Store.claim(Path(out), spec.values(), plan_of(grid, facts))
    with contextlib.ExitStack() as stack:
        if engine is None:
            engine = stack.enter_context(LocalEngine(workers))
        return _Run(store, cells, spec, engine, data_root, progress).go()


def plan_of(grid: Grid, facts: DataFacts) -> dict[str, Any]:
    """Return the grid as JSON values, for the store.

    >>> plan_of(Grid((), ()), DataFacts((1, 8, 8), ("0",), (0.5,), (0.25,)))["cells"]
    []
    """
    names = ("address", "kind", "label", "variant", "seed", "eps", "attack")
    return {
        "data": {key: list(value) for key, value in asdict(facts).items()},
        "cells": [{name: getattr(cell, name) for name in names} for cell in grid.cells],
        "places": [asdict(place) for place in grid.places],
    }


class _Run:
    """One run: what is pending, running, finished and failed."""

    def __init__(
        self,
        store: Store,
        cells: Sequence[Cell],
        spec: StudySpec,
        engine: Engine,
        data_root: Path | str | None,
        progress: Callable[[StudyProgress], None] | None,
    ) -> None:
        self.store, self.engine = store, engine
        self._data_root = None if data_root is None else str(data_root)
        self._study = spec.values()
        self._tell = progress
        self.total = len(cells)
        self.finished: set[str] = set()
        self.failed: dict[str, Cell] = {}
        self.errors: dict[str, str] = {}
        self.running: dict[str, tuple[Cell, float]] = {}
        self.waiting: dict[str, float] = {}  # cells of another runner, and when to look again
        self.lives: dict[str, int] = {}
        self.notes: list[str] = []
        self.pace = Pace()
        # By seed: an unfinished study then has some seeds whole.
        place = {seed: i for i, seed in enumerate(spec.seeds)}
        ordered = sorted(cells, key=lambda cell: (place[cell.seed], cell.kind == "evaluation"))
        self.pending = {cell.address: cell for cell in ordered}

    def go(self) -> StudyProgress:
        """Run until every cell is finished, has failed or waits for one that failed."""
        self._collect_finished()
        self._report()
        while True:
            self._submit()
            if not self.running and not self.waiting:
                return self._report()
            for outcome in self.engine.wait(_PATIENCE) if self.running else self._rest():
                self._take(outcome)
            self._report()

    def _collect_finished(self) -> None:
        for address, cell in list(self.pending.items()):
            health = self.store.health(address)
            if health == "damaged":
                with self.store.claimed(address) as mine:
                    if mine and self.store.health(address) == "damaged":
                        aside = self.store.set_aside(address)
                        self.notes.append(
                            f"the cell {cell.label} was damaged; it lies in {aside} and is run again"
                        )
            elif health == "finished":
                self._finish(cell, float(self.store.record(address).get("seconds", 0.0)))

    def _submit(self) -> None:
        now = time.monotonic()
        for address, cell in list(self.pending.items()):
            if len(self.running) >= self.engine.slots:
                return
            if cell.needs and cell.needs not in self.finished:
                continue
            if self.waiting.get(address, 0.0) > now:
                continue
            del self.pending[address]
            self.waiting.pop(address, None)
            self.running[address] = (cell, now)
            self.engine.submit(Job(str(self.store.root), self._data_root, self._study, cell))

    def _take(self, outcome: Outcome) -> None:
        cell, _ = self.running.pop(outcome.address)
        if outcome.status == "finished":
            self._finish(cell, outcome.seconds)
        elif outcome.status == "busy":
            self.pending[cell.address] = cell
            self.waiting[cell.address] = time.monotonic() + _PATIENCE
        elif outcome.status == "refused":
            raise OutputError(f"{outcome.error}; what is finished is kept, run the study again")
        elif outcome.status == "lost":
            self._lost(cell)
        else:
            self._fail(cell, outcome.error, outcome.trace)

    def _lost(self, cell: Cell) -> None:
        self.lives[cell.address] = self.lives.get(cell.address, 0) + 1
        if self.lives[cell.address] < _LIVES:
            self.notes.append(f"the worker of {cell.label} died; the cell is run again")
            self.pending = {cell.address: cell, **self.pending}
        else:
            self._fail(cell, f"its worker died {_LIVES} times; is there enough memory?")

    def _fail(self, cell: Cell, error: str, trace: str = "") -> None:
        self.failed[cell.address] = cell
        self.errors[cell.label] = error
        self.store.fail(cell.address, cell.label, error, trace)

    def _finish(self, cell: Cell, seconds: float) -> None:
        self.pending.pop(cell.address, None)
        self.finished.add(cell.address)
        self.pace.add(cell, seconds)

    def _rest(self) -> list[Outcome]:
        """Wait for another runner, and take over what it has finished."""
        time.sleep(_PATIENCE)
        return []

    def _report(self) -> StudyProgress:
        now = time.monotonic()
        blocked = [cell for cell in self.pending.values() if cell.needs in self.failed]
        left = [cell for cell in self.pending.values() if cell.needs not in self.failed]
        at_work = [
            (cell, told(self.store.telling(cell.address), now - began))
            for cell, began in self.running.values()
        ]
        state = StudyProgress(
            total=self.total,
            finished=len(self.finished),
            failed=dict(self.errors),
            running={cell.label: state for cell, state in at_work},
            elsewhere=len(self.waiting),
            blocked=len(blocked),
            seconds_left=self.pace.left(left, at_work, self.engine.slots),
            notes=tuple(self.notes),
        )
        if self._tell is not None:
            self._tell(state)
        return state
