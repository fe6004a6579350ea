"""Work on the disk as it gets done, written as often as one per cent of the time allows.

A journal is a folder of files that are written once: each holds the entries since the one before. A
file is there whole or not at all, so whatever ends the process, the entries before it stay.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import safetensors.torch
from torch import Tensor

from saddlepoint.errors import InputError
from saddlepoint.files import write
from saddlepoint.numerics import NUMERICS
from saddlepoint.reading import decoding
from saddlepoint.reading.tensors import read_metadata, read_safetensors

Columns = dict[str, Tensor]
"""One tensor per column; the first axis is the row."""

SOONEST, LATEST = 2.0, 20.0
"""Seconds of work between two writes, at least and at most."""
_SHARE = 0.01  # of the time may go into writing
_FORMAT = "saddlepoint journal 1"


class Journal:
    """Named entries of columns in a folder.

    Args:
        folder: where they are written; None is a journal that forgets.
        clock: seconds.

    Attributes:
        found: what lay in the folder at the beginning: name → its entries, in the order in which
            they were written. A damaged file counts as absent, and so does one of a program that
            computes other numbers.

    >>> import tempfile, torch
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     before = Journal(Path(folder))
    ...     before.add("squares", {"square": torch.tensor([4, 9])})
    ...     before.save()
    ...     Journal(Path(folder)).found
    {'squares': [{'square': tensor([4, 9])}]}
    """

    def __init__(self, folder: Path | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.found: dict[str, list[Columns]] = {}
        self._folder, self._clock = folder, clock
        self._new: list[tuple[str, Columns]] = []
        self._since, self._cost = clock(), 0.0
        names = [] if folder is None else sorted(folder.glob("*.safetensors"))
        for path in names:
            for name, columns in _read(path):
                self.found.setdefault(name, []).append(columns)
        self._number = 1 + max((int(p.stem) for p in names if p.stem.isdigit()), default=-1)

    @property
    def written(self) -> bool:
        """Whether the folder holds anything."""
        return self._number > 0

    def add(self, name: str, columns: Columns, waits: bool = False) -> None:
        """Take an entry; it and those before are written once enough time has passed, one that
        `waits` with the next that does not.
        """
        if self._folder is None:
            return
        # Copies: a tensor that stands in two entries cannot be written.
        self._new.append(
            (name, {key: value.detach().to("cpu", copy=True) for key, value in columns.items()})
        )
        due = min(max(SOONEST, self._cost / _SHARE), LATEST)
        if not waits and self._clock() - self._since >= due:
            self.save()

    def drop(self, prefix: str) -> None:
        """Forget the entries not yet written whose names begin so."""
        self._new = [entry for entry in self._new if not entry[0].startswith(prefix)]

    def save(self) -> None:
        """Write what is not written yet; raises `OutputError` where the disk refuses."""
        if self._folder is None or not self._new:
            return
        began = self._clock()
        tensors = {
            f"{number} {key}": value.contiguous()
            for number, (_, columns) in enumerate(self._new)
            for key, value in columns.items()
        }
        names = json.dumps([name for name, _ in self._new])
        content = safetensors.torch.save(tensors, {**_about(), "names": names})
        write(self._folder / f"{self._number:06d}.safetensors", content)
        self._number, self._new = self._number + 1, []
        self._since = self._clock()
        self._cost = self._since - began

    def forget(self) -> None:
        """Remove the folder: what it held is kept elsewhere now."""
        if self._folder is not None and (self.written or self._folder.exists()):
            shutil.rmtree(self._folder, ignore_errors=True)
        self.found, self._new, self._number, self._since = {}, [], 0, self._clock()


def _about() -> dict[str, str]:
    """Return what says that a file can be gone on from."""
    return {"format": _FORMAT, "numerics": json.dumps(dict(NUMERICS), sort_keys=True)}


def _read(path: Path) -> list[tuple[str, Columns]]:
    try:
        about, tensors = read_metadata(path), read_safetensors(path)
        if not _about().items() <= about.items():
            return []
        with decoding(path, "a journal's"):
            entries: list[tuple[str, Columns]] = [(name, {}) for name in json.loads(about["names"])]
            for key, value in tensors.items():
                number, _, column = key.partition(" ")
                entries[int(number)][1][column] = value
            return entries
    except InputError:  # damaged: it is done again
        return []
