"""Tables of measured values, as CSV at full precision and as short text."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

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

    @classmethod
    def of(cls, columns: Mapping[str, Iterable[Cell] | Tensor]) -> Table:
        """Return the table with these columns.

        >>> Table.of({"image": range(2), "loss": (0.5, 0.25)}).rows
        ((0, 0.5), (1, 0.25))
        """
        values = (each.tolist() if isinstance(each, Tensor) else each for each in columns.values())
        return cls(tuple(columns), tuple(zip(*values, strict=True)))

    @classmethod
    def long(cls, axes: Mapping[str, Iterable[Cell]], values: Mapping[str, Tensor]) -> Table:
        """Return a row for each entry of arrays of one shape, under the coordinates of its place.

        Args:
            axes: the coordinates along each axis of the arrays.
            values: the arrays, by the name of the column that each becomes.

        >>> from torch import ones
        >>> Table.long({"eps": (0.1, 0.2), "image": range(2)}, {"loss": ones(2, 2)}).rows[1]
        (0.1, 1, 1.0)
        """
        places = itertools.product(*axes.values())
        entries = zip(places, *(each.flatten().tolist() for each in values.values()), strict=True)
        return cls((*axes, *values), tuple((*place, *found) for place, *found in entries))

    @classmethod
    def joined(cls, column: str, tables: Mapping[str, Table]) -> Table:
        """Return tables one below the other, under a first column with the name of each.

        >>> one = Table(("eps",), ((0.1,),))
        >>> Table.joined("model", {"standard": one, "adversarial": one}).rows
        (('standard', 0.1), ('adversarial', 0.1))
        """
        rows = [(name, *row) for name, table in tables.items() for row in table.rows]
        columns = next((table.columns for table in tables.values()), ())
        return cls((column, *columns), tuple(rows))

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
