"""Tables of text, and the values that print as them: in a terminal, and as HTML in a notebook."""

from __future__ import annotations

import html
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

_CELL = (
    "padding:0.2em 0.7em;border-bottom:1px solid color-mix(in srgb,currentColor 25%,transparent)"
)


def escaped(text: str) -> str:
    """Return the text with what would steer a terminal, or break its line, written out.

    >>> escaped("red\\x1b[31m\\n")
    'red\\\\x1b[31m\\\\n'
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


@dataclass(frozen=True)
class Table:
    """A title, columns and rows of text, and notes below.

    >>> print(Table("two", ("name", "images"), [("a", "1"), ("b", "12")], ("few",)).text())
    two
    name  images
    ------------
    a          1
    b         12
    note: few
    """

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    notes: tuple[str, ...] = ()

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Of each column, whether it holds numbers, which stand to the right."""
        return tuple(
            bool(self.rows)
            and all(row[i][:1].isdigit() or row[i] in ("–", "") for row in self.rows)
            for i in range(len(self.columns))
        )

    def text(self) -> str:
        """Return the table in lines as wide as what it holds; what would steer a terminal is
        escaped.
        """
        lines = [self.columns, *self.rows]
        cells = [tuple(escaped(cell) for cell in line) for line in lines]
        widths = [max(len(line[i]) for line in cells) for i in range(len(self.columns))]
        drawn = [
            "  ".join(
                cell.rjust(width) if right else cell.ljust(width)
                for cell, width, right in zip(line, widths, self.numeric, strict=True)
            ).rstrip()
            for line in cells
        ]
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        notes = [f"note: {escaped(note)}" for note in self.notes]
        return "\n".join([escaped(self.title), drawn[0], rule, *drawn[1:], *notes])

    def html(self) -> str:
        """Return the table as HTML without a colour of its own, so that it is read on any ground.

        >>> "&lt;b&gt;" in Table("<b>", ("name",), []).html()
        True
        """

        def row(tag: str, cells: Sequence[str]) -> str:
            inner = "".join(
                f'<{tag} style="text-align:{"right" if right else "left"};{_CELL}">'
                f"{html.escape(escaped(cell))}</{tag}>"
                for cell, right in zip(cells, self.numeric, strict=True)
            )
            return f"<tr>{inner}</tr>"

        body = "".join(row("td", cells) for cells in self.rows)
        notes = "".join(f"<div>note: {html.escape(escaped(note))}</div>" for note in self.notes)
        return (
            '<table style="border-collapse:collapse;color:inherit;background:transparent">'
            f'<caption style="text-align:left;color:inherit">{html.escape(escaped(self.title))}</caption>'
            f"<thead>{row('th', self.columns)}</thead><tbody>{body}</tbody></table>{notes}"
        )


class Shown:
    """What prints as tables.

    >>> class Empty(Shown):
    ...     def tables(self):
    ...         return [Table("nothing", ("name",), [])]
    >>> Empty()
    nothing
    name
    ----
    """

    @abstractmethod
    def tables(self) -> Sequence[Table]:
        """Return the tables that it prints as."""

    def __str__(self) -> str:
        return "\n\n".join(table.text() for table in self.tables())

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return "".join(table.html() for table in self.tables())
