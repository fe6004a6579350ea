"""How long the rest of a study takes, from the cells that are finished."""

from __future__ import annotations

from collections.abc import Iterable

from saddlepoint.studies.grid import Cell
from saddlepoint.studies.telling import CellAtWork

_TELLING = 0.02  # a share from which on a cell tells how long it takes


class Pace:
    """The mean time of the cells of each kind; those of the same variant and attack say most.

    >>> pace = Pace()
    >>> cell = Cell("training", "original", 0, None, "", {})
    >>> pace.add(cell, 2.0)
    >>> pace.left([cell, cell], [(cell, CellAtWork(0.5))], slots=2)
    2.75
    """

    def __init__(self) -> None:
        self._sums: dict[tuple[str, ...], tuple[int, float]] = {}

    def add(self, cell: Cell, seconds: float) -> None:
        """Take note of a finished cell; one that took no time was finished before."""
        if seconds <= 0:
            return
        for key in _keys(cell):
            count, total = self._sums.get(key, (0, 0.0))
            self._sums[key] = (count + 1, total + seconds)

    def expected(self, cell: Cell) -> float | None:
        """Return the seconds that a cell takes; None where none of its kind is known."""
        for key in _keys(cell):
            if key in self._sums:
                count, total = self._sums[key]
                return total / count
        return None

    def left(
        self, pending: Iterable[Cell], running: Iterable[tuple[Cell, CellAtWork]], slots: int
    ) -> float | None:
        """Return the seconds left with so many slots; None where nothing tells them.

        What is at work tells the time of its kind where no cell of it has finished.
        """
        seen, total = Pace(), 0.0
        for cell, state in running:
            expected = self.expected(cell)
            if state.share >= _TELLING:
                expected = state.seconds / state.share
                seen.add(cell, expected)
            if expected is None:
                return None
            total += max(expected - state.seconds, 0.0)
        for cell in pending:
            expected = self.expected(cell)
            expected = seen.expected(cell) if expected is None else expected
            if expected is None:
                return None
            total += expected
        return total / slots


def _keys(cell: Cell) -> tuple[tuple[str, ...], ...]:
    # Before any of a kind is known, the others have to do.
    return (cell.kind, cell.variant, cell.attack), (cell.kind, cell.attack), (cell.kind,), ()
