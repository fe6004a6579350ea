"""Parquet files, read in pieces of bounded size."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from saddlepoint.errors import InputError
from saddlepoint.reading.opened import check_inflated, decoding, opened, shown

_ROWS = 64  # read together: a column of repeated images is small on disk


def read_table(path: Path) -> pa.Table:
    """Return the table in a Parquet file; raises `InputError` where it is missing or damaged.

    >>> read_table(Path("no-such.parquet"))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: cannot read no-such.parquet: No such file or directory
    """
    with opened(path) as file, decoding(path, "a whole Parquet file"):
        size = file.seek(0, io.SEEK_END)
        with pq.ParquetFile(file) as table:
            declared = table.metadata.num_rows * max(1, table.metadata.num_columns)
            check_inflated(path, max(declared, _declared(table)), size)
            return table.read()


def column_names(path: Path) -> list[str]:
    """Return the names of a Parquet file's columns; raises as `read_table`.

    >>> column_names(Path("no-such.parquet"))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: cannot read no-such.parquet: No such file or directory
    """
    with (
        opened(path) as file,
        decoding(path, "a whole Parquet file"),
        pq.ParquetFile(file) as table,
    ):
        return list(table.schema_arrow.names)


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a Parquet file, a mapping of `columns` each; raises as `read_table`.

    >>> list(read_rows(Path("no-such.parquet"), ["image"]))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: cannot read no-such.parquet: No such file or directory
    """
    with opened(path) as file, decoding(path, "a whole Parquet file"):
        size = file.seek(0, io.SEEK_END)
        with pq.ParquetFile(file) as table:
            check_inflated(path, _declared(table), size)
            total = count = 0
            for batch in table.iter_batches(batch_size=_ROWS, columns=list(columns)):
                rows = _rows_of(batch, path, count)
                count += len(rows)
                total += sum(_held(value) for row in rows for value in row.values())
                check_inflated(path, total, size)
                yield from rows


def _rows_of(batch: pa.RecordBatch, path: Path, first: int) -> list[dict[str, Any]]:
    """Return the rows of a batch, whose first is the row `first` of the file."""
    try:
        rows: list[dict[str, Any]] = batch.to_pylist()
        return rows
    except UnicodeDecodeError:
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
                continue
            for i, value in enumerate(column.cast(pa.large_binary()).to_pylist()):
                try:
                    (value or b"").decode()
                except UnicodeDecodeError as error:
                    raise InputError(
                        f"{shown(path)}, row {first + i}: '{shown(name)}' is not text in UTF-8"
                        f" (byte {error.start + 1} is 0x{error.object[error.start]:02x})"
                    ) from error
        raise


def _held(value: Any) -> int:
    if isinstance(value, dict):
        return sum(_held(each) for each in value.values())
    if isinstance(value, list):
        return sum(map(_held, value))
    return len(value) if isinstance(value, bytes | str) else 8


def _declared(table: pq.ParquetFile) -> int:
    meta = table.metadata
    sizes = [meta.row_group(i).total_byte_size for i in range(meta.num_row_groups)]
    if min(sizes, default=0) < 0:
        raise InputError("a negative size")
    return sum(sizes)
