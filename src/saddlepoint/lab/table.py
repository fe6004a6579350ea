"""Tables of measured values, as CSV at full precision and as short text."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

Cell = str | int | float


@dataclass(frozen=True)
class Table:
    """Named columns and rows of text and numbers.

    >>> table = Table(("eps", "accuracy"), ((0.1, 1 / 3), (0.2, float("nan"))))
    >>> table.csv()
    'eps,accuracy\\n0.1,0.3333333333333333\\n0.2,\\n'
    >>> table.text()[0]
    ('0.1', '0.333')
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def under(self, column: str, value: Cell) -> Table:
        """Return the table with one more column, the first, that holds `value` in every row.

        >>> Table(("eps",), ((0.1,),)).under("model", "standard").rows
        (('standard', 0.1),)
        """
        return Table((column, *self.columns), tuple((value, *row) for row in self.rows))

    def csv(self) -> str:
        """Return the rows as CSV; a number that is not there (NaN) is an empty field."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(self.columns)
        for row in self.rows:
            writer.writerow(["" if cell != cell else cell for cell in row])
        return buffer.getvalue()

    def text(self) -> list[tuple[str, ...]]:
        """Return the rows as people read them: three digits, a dash for what is not there."""
        return [tuple(_short(cell) for cell in row) for row in self.rows]

    def records(self) -> list[dict[str, Cell | None]]:
        """Return the rows as mappings, for JSON; None for what is not there.

        >>> Table(("eps",), ((0.1,),)).records()
        [{'eps': 0.1}]
        """
        return [
            {
                name: None if isinstance(cell, float) and not abs(cell) < float("inf") else cell
                for name, cell in zip(self.columns, row, strict=True)
            }
            for row in self.rows
        ]


def _short(cell: Cell) -> str:
    if not isinstance(cell, float):
        return str(cell)
    return "–" if cell != cell else f"{cell:.3g}"
