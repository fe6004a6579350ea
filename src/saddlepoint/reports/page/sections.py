"""A page's parts under their headings, numbered in their order."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from matplotlib.figure import Figure

from saddlepoint.reports.page.parts import Drawing, Gallery, Strip
from saddlepoint.reports.page.sentences import Sentences
from saddlepoint.tables import Table


@dataclass(frozen=True)
class NumberedTable:
    """A table as a page shows it.

    >>> NumberedTable("budgets", 1, Table("Two", ("a",), [("1",)])).number
    1
    """

    name: str
    number: int
    table: Table


@dataclass(frozen=True)
class PageSection:
    """What stands under one heading.

    Attributes:
        anchor, heading: of it.
        notes: sentences under the heading.
        drawings, tables: in this order.
        strips: rows of small pictures.
        confusion: which class is taken for which.
        gallery: images.
        sentences: shaded by what was changed.

    >>> PageSection("curve", "Accuracy against eps").tables
    ()
    """

    anchor: str
    heading: str
    notes: tuple[str, ...] = ()
    drawings: tuple[Drawing, ...] = ()
    tables: tuple[NumberedTable, ...] = ()
    strips: tuple[Strip, ...] = ()
    confusion: ConfusionTable | None = None
    gallery: Gallery | None = None
    sentences: Sentences | None = None


@dataclass(frozen=True)
class Cell:
    """A count in a row of a confusion table, and its share of the row in per cent.

    >>> Cell(3, 60, own=False).count
    3
    """

    count: int
    share: int
    own: bool


@dataclass(frozen=True)
class ConfusionRow:
    """The images of a class.

    >>> ConfusionRow("cat", (Cell(3, 100, own=True),)).name
    'cat'
    """

    name: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class ConfusionTable:
    """How many images of each class (row) are taken for each (column).

    >>> ConfusionTable(1, "none", (), ()).rows
    ()
    """

    number: int
    title: str
    columns: tuple[str, ...]
    rows: tuple[ConfusionRow, ...]


@dataclass
class Numbering:
    """Numbers the figures and the tables of a page.

    >>> numbering = Numbering()
    >>> [numbering.table("a", Table("A", (), [])).number for _ in range(2)]
    [1, 2]
    """

    _figures: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _tables: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def figure(self, figure: Figure, name: str, caption: str) -> Drawing:
        """Return the next figure."""
        return Drawing.of(figure, name, next(self._figures), caption)

    def table(self, name: str, table: Table) -> NumberedTable:
        """Return the next table."""
        return NumberedTable(name, next(self._tables), table)

    def next_table(self) -> int:
        """Return the number of a table of another kind."""
        return next(self._tables)
