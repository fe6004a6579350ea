"""Texts in files: which columns they stand in, and what their labels are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from saddlepoint.errors import InputError
from saddlepoint.reading import shown
from saddlepoint.reading.records import Records, read_records
from saddlepoint.text.mending import mended
from saddlepoint.text.text_data import Row, TextData, check_rows

_TEXTS = (
    ("source", "target"),
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("text",),
    ("sentence",),
    ("review",),
    ("source",),
)
_NUMBER = re.compile("-?[0-9]{1,6}")
_MEASURE = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?|nan|[-+]?inf", re.IGNORECASE)
_FEW, _EMPTY = 100, 10  # classes that may all be empty but one; and classes for each that is not
_LABELS = ("label", "labels", "class")


@dataclass(frozen=True)
class TextColumns:
    """Which columns of a file are texts, and which the label.

    Args:
        texts: one column, or the two of a pair; none takes `text`, or `source` and `target` and
            other usual names.
        label: None takes `label` where there is such a column.
        labelled: whether labels are read at all; without, none is looked at.

    Raises `InputError` for more than two columns of texts.

    >>> TextColumns(("premise", "hypothesis")).label is None
    True
    """

    texts: tuple[str, ...] = ()
    label: str | None = None
    labelled: bool = True

    def __post_init__(self) -> None:
        if len(self.texts) > 2:
            raise InputError(
                f"there are {len(self.texts)} columns of texts; give one, or the two of a pair"
            )

    def of(self, records: Records) -> tuple[list[Row], list[Any] | None]:
        """Return the texts and the labels in the rows of a file, texts mended."""
        names = self.texts or next(
            (each for each in _TEXTS if set(each) <= set(records.columns)), ("text",)
        )
        label = self.label or next((each for each in _LABELS if each in records.columns), None)
        label = label if self.labelled else None
        columns = [records.column(name) for name in names]
        rows = []
        for place, values in zip(records.places, zip(*columns, strict=True), strict=True):
            for name, value in zip(names, values, strict=True):
                if not isinstance(value, str):
                    raise InputError(
                        f"{place}: '{shown(name)}' is {shown(repr(value))[:60]}; give a text"
                    )
            rows.append(tuple(mended(value) for value in values))
        check_rows(rows, records.places)
        return rows, None if label is None else records.column(label)


def read_texts(
    path: Path | str,
    columns: TextColumns | None = None,
    *,
    split: str = "all",
    name: str | None = None,
    classes: Sequence[str] = (),
) -> TextData:
    """Return the texts in a file; see `read_records` for its forms.

    Labels are whole numbers from 0, or names, which are put in the order of the alphabet; a list of
    them, which JSON lines and Parquet can hold, is a class for each word.

    Args:
        path: of the file.
        columns: of the texts and the label; None takes the usual names.
        split: that the file holds.
        name: of the data; None takes the file's.
        classes: the names of the classes, where they are known; those that the labels name otherwise.

    Raises `InputError` where the file cannot be read, has no such column, a text is empty, or a label
    is no class.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.csv"
    ...     _ = path.write_text("text,label\\nfine,good\\nawful,bad\\n")
    ...     data = read_texts(path)
    >>> data.rows, data.labels, data.classes
    ((('fine',), ('awful',)), tensor([1, 0]), ('bad', 'good'))
    """
    path = Path(path)
    records = read_records(path)
    rows, values = (columns or TextColumns()).of(records)
    name = shown(path.name) if name is None else name
    if not rows:
        raise InputError(f"{shown(path)} holds no texts; give at least one")
    if values is None:
        return TextData(name, split, tuple(rows))
    if isinstance(values[0], list):
        tags, found = _tags(values, records.places, tuple(classes))
        return TextData(name, split, tuple(rows), classes=found, tags=tags)
    numbers, found = _classes(values, records.places, tuple(classes))
    return TextData(name, split, tuple(rows), torch.tensor(numbers), found)


def _tags(
    values: Sequence[Any], places: Sequence[str], known: tuple[str, ...]
) -> tuple[tuple[tuple[int, ...], ...], tuple[str, ...]]:
    """Return the numbers of the labels of every word, and the names of the classes."""
    for value, place in zip(values, places, strict=True):
        if not isinstance(value, list) or not value:
            raise InputError(
                f"{place}: the label is {shown(repr(value))[:60]}; give a list, a class for each word"
            )
    of_words = [place for value, place in zip(values, places, strict=True) for _ in value]
    numbers, found = _classes([each for value in values for each in value], of_words, known)
    rest = iter(numbers)
    return tuple(tuple(next(rest) for _ in value) for value in values), found


def _no_class(value: int | str, known: tuple[str, ...]) -> bool:
    """Return whether a label is blank, or a number that counts nothing."""
    word = str(value).strip()
    if not word:
        return True
    return word not in known and not _NUMBER.fullmatch(word) and bool(_MEASURE.fullmatch(word))


def _classes(
    values: Sequence[Any], places: Sequence[str], known: tuple[str, ...]
) -> tuple[list[int], tuple[str, ...]]:
    """Return the numbers of the labels, and the names of the classes."""
    for value, place in zip(values, places, strict=True):
        if isinstance(value, bool) or not isinstance(value, int | str) or _no_class(value, known):
            raise InputError(
                f"{place}: the label is {shown(repr(value))[:60]}, which is no class; give a whole"
                " number from 0, or a name"
            )
    words = [str(value).strip() for value in values]
    if all(_NUMBER.fullmatch(word) for word in words):
        numbers = [int(word) for word in words]
        most = len(known) or max(numbers) + 1
        if not known and most > max(_FEW, _EMPTY * len(set(numbers))):
            raise InputError(
                f"{places[numbers.index(most - 1)]}: the label is {most - 1}, and there are only"
                f" {len(set(numbers))} classes; number them from 0, or give names"
            )
        for number, place in zip(numbers, places, strict=True):
            if not 0 <= number < most:
                raise InputError(f"{place}: the label {number} is no class; use 0 … {most - 1}")
        return numbers, known or tuple(map(str, range(most)))
    names = known or tuple(sorted(set(words)))
    for word, place in zip(words, places, strict=True):
        if word not in names:
            raise InputError(
                f"{place}: the label '{shown(word)}' is no class; there are"
                f" {', '.join(map(shown, names[:5]))}{', …' if len(names) > 5 else ''}"
            )
    return [names.index(word) for word in words], names
