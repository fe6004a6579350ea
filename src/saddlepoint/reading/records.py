"""Rows of named columns: CSV, TSV, Parquet, JSON lines, and text with a row in every line."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saddlepoint.errors import InputError
from saddlepoint.reading.opened import shown
from saddlepoint.reading.text import check_depth, read_lines

_MOST = 1 << 28  # bytes
TEXT_COLUMN = "text"
"""The one column of a file of lines."""


@dataclass(frozen=True)
class Records:
    """Rows of a file.

    Attributes:
        path: of the file.
        columns: the names of all of its columns.
        rows: the row, as a mapping of its columns.
        places: where each row stands, for messages.

    >>> records = Records(Path("a.csv"), ("text",), ({"text": "one"},), ("a.csv, line 2",))
    >>> records.column("text")
    ['one']
    >>> records.column("texts")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: a.csv has no column 'texts'; it has text
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]
    places: tuple[str, ...]

    def column(self, name: str) -> list[Any]:
        """Return the values of a column, None where a row has none.

        Raises `InputError` where there is no such column.
        """
        if name not in self.columns:
            raise InputError(
                f"{shown(self.path)} has no column '{shown(name)}'; it has"
                f" {', '.join(map(shown, self.columns)) or 'none'}"
            )
        return [row.get(name) for row in self.rows]


def read_records(path: Path) -> Records:
    """Return the rows of a file, by its suffix: .csv, .tsv, .parquet, .jsonl or .txt.

    Raises `InputError`, with the line, for what is no UTF-8 or not of this form, and for another
    suffix.

    >>> read_records(Path("no-such.csv"))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: cannot read no-such.csv: No such file or directory
    """
    kind = path.suffix.lower()
    if kind not in READERS:
        raise InputError(
            f"{shown(path)} is no file of texts by its suffix; give one of {', '.join(READERS)}"
        )
    return READERS[kind](path)


def _csv(path: Path, delimiter: str = ",") -> Records:
    reader = csv.reader((f"{line}\n" for line in read_lines(path, _MOST)), delimiter=delimiter)
    numbered = _lines_of(path, reader)
    _, head = next(numbered, (0, []))
    twice = next((name for name in head if head.count(name) > 1), None)
    if not head or twice is not None:
        what = "is empty" if not head else f"names the column '{shown(twice)}' twice"
        raise InputError(f"{shown(path)} {what}; its first line is to name each column once")
    rows, places = [], []
    for number, cells in numbered:
        if not cells:  # an empty line
            continue
        place = f"{shown(path)}, line {number}"
        if len(cells) != len(head):
            raise InputError(
                f"{place}: has {len(cells)} cells, and there are {len(head)} columns"
                f" ({', '.join(map(shown, head))}); put cells with commas into quotes"
            )
        rows.append(dict(zip(head, cells, strict=True)))
        places.append(place)
    return Records(path, tuple(head), tuple(rows), tuple(places))


def _lines_of(path: Path, reader: Any) -> Iterator[tuple[int, Sequence[str]]]:
    try:
        for cells in reader:
            yield reader.line_num, cells
    except csv.Error as error:
        raise InputError(f"{shown(path)}, line {reader.line_num}: {error}") from error


def _tsv(path: Path) -> Records:
    return _csv(path, "\t")


def _json_lines(path: Path) -> Records:
    rows, places = [], []
    for number, line in enumerate(read_lines(path, _MOST), 1):
        if not line.strip():
            continue
        place = f"{shown(path)}, line {number}"
        try:
            row = json.loads(line)
            check_depth(row)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{place}: is no JSON ({shown(error)})") from error
        if not isinstance(row, dict):
            raise InputError(f"{place}: is a {type(row).__name__}; give an object in every line")
        rows.append(row)
        places.append(place)
    columns = dict.fromkeys(name for row in rows for name in row)
    return Records(path, tuple(columns), tuple(rows), tuple(places))


def _parquet(path: Path) -> Records:
    from saddlepoint.reading.tables import column_names, read_rows  # late: slow to import

    names = column_names(path)
    rows = tuple(read_rows(path, names))
    places = tuple(f"{shown(path)}, row {i}" for i in range(len(rows)))
    return Records(path, tuple(names), rows, places)


def _text(path: Path) -> Records:
    lines = read_lines(path, _MOST)
    return Records(
        path,
        (TEXT_COLUMN,),
        tuple({TEXT_COLUMN: line} for line in lines),
        tuple(f"{shown(path)}, line {i}" for i in range(1, len(lines) + 1)),
    )


READERS: Mapping[str, Callable[[Path], Records]] = {
    ".csv": _csv,
    ".tsv": _tsv,
    ".parquet": _parquet,
    ".jsonl": _json_lines,
    ".txt": _text,
}
"""What reads a file, by its suffix."""
