"""The store of a study: one folder per finished cell, published whole, never half-written.

DIR/study.json            the specification that was run last
DIR/cells/ADDRESS/        a finished cell: cell.json and the files that it names
DIR/unfinished/ADDRESS/   a cell at work, with the checkpoints that an interrupted one resumes from
DIR/locks/ADDRESS.lock    held by the process that works on the cell; the system frees it, and
                          store.lock for the moment in which a file outside of the cells is written
DIR/failed/ADDRESS.json   the error of a cell that failed; gone once it succeeds
DIR/aside/ADDRESS-N/      a damaged cell, kept for inspection
"""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from saddlepoint import __version__
from saddlepoint.errors import InputError, OutputError
from saddlepoint.files import fingerprint, is_temporary, reason, sweep, write_json
from saddlepoint.locks import locked
from saddlepoint.reading import file_digest, read_json, shown

FORMAT = 1
STUDY_FILE, CELL_FILE = "study.json", "cell.json"
_OWN = ("cells", "unfinished", "locks", "failed", "aside", "report")
Health = Literal["finished", "missing", "damaged"]


class Store:
    """The folder of a study.

    Raises `InputError` for a folder of another format or of another study.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store.claim(Path(folder), {"name": "report"}, {"cells": [], "places": []})
    ...     store.health("0123456789abcdef")
    'missing'
    """

    def __init__(self, root: Path | str) -> None:
        self.root = root = Path(root)
        record = read_json(root / STUDY_FILE)
        if not isinstance(record, dict) or "format" not in record:
            raise InputError(
                f"{shown(root / STUDY_FILE)} is not a study's; name the folder of a study"
            )
        if record["format"] != FORMAT:
            raise InputError(
                f"{shown(root)} was written in format {shown(record['format'])} by saddlepoint"
                f" {shown(record.get('saddlepoint'))}; this one ({__version__}) reads format {FORMAT}:"
                " use that version, or another folder"
            )
        self.study: dict[str, Any] = _mapping(record, "study", root)
        self.plan: dict[str, Any] = _mapping(record, "plan", root)
        if not all(isinstance(self.plan.get(key), list) for key in ("cells", "places")):
            raise _damaged(root)

    @classmethod
    def finished(cls, root: Path | str) -> Store:
        """Open the folder of a study to read its cells; raises `InputError` where the plan is
        damaged.
        """
        root = Path(root)
        store = cls(root)
        if not _sound(store.plan):
            raise _damaged(root)
        return store

    @classmethod
    def claim(cls, root: Path | str, study: dict[str, Any], plan: dict[str, Any]) -> Store:
        """Make `root` the folder of a study, or open it; its specification may have changed.

        Args:
            root: the folder.
            study: the specification, as JSON values; its name identifies the study.
            plan: what follows from it and from the data: cells, places, facts of the images.
        """
        root = Path(root)
        if (root / STUDY_FILE).exists():
            before = cls(root)
            if before.study.get("name") != study.get("name"):
                raise InputError(
                    f"{shown(root)} holds the study '{shown(before.study.get('name'))}', not"
                    f" '{study.get('name')}'; choose another folder"
                )
            if (before.study, before.plan) == (study, plan):
                if any(map(is_temporary, (*root.iterdir(), *(root / "failed").glob(".*")))):
                    with _alone(root):  # what a killed runner left half-written is removed
                        pass
                return before
        elif root.exists() and (not root.is_dir() or _holds_no_study(root)):
            raise InputError(f"{shown(root)} holds other files and no study; choose another folder")
        record = {"format": FORMAT, "saddlepoint": __version__, "study": study, "plan": plan}
        with _alone(root):
            write_json(root / STUDY_FILE, record)
        return cls(root)

    def cell(self, address: str) -> Path:
        """Return the folder of a finished cell."""
        return self.root / "cells" / address

    def work(self, address: str) -> Path:
        """Return the folder of a cell at work."""
        return self.root / "unfinished" / address

    def telling(self, address: str) -> Path:
        """Return the file that says how far a cell at work is; see `telling`."""
        return self.root / "locks" / f"{address}.progress"

    def record(self, address: str) -> dict[str, Any]:
        """Return the record of a finished cell."""
        record = read_json(self.cell(address) / CELL_FILE)
        if not isinstance(record, dict) or record.get("address") != address:
            raise InputError(f"{shown(self.cell(address) / CELL_FILE)} is not this cell's record")
        return record

    def health(self, address: str, thorough: bool = True) -> Health:
        """Return whether a cell is finished; `thorough` compares every file with what was written."""
        folder = self.cell(address)
        if not folder.exists():
            return "missing"
        try:
            record = self.record(address)
            if record.pop("digest", None) != fingerprint(record) or record["format"] != FORMAT:
                return "damaged"
            for name, digest in record["files"].items() if thorough else ():
                outside = Path(name).is_absolute() or ".." in Path(name).parts
                if outside or file_digest(folder / name) != digest:
                    return "damaged"
        except (InputError, OSError, KeyError, TypeError, AttributeError):
            return "damaged"
        return "finished"

    @contextlib.contextmanager
    def claimed(self, address: str) -> Iterator[bool]:
        """Hold the cell while the block runs; False where another process works on it.

        The lock is the system's: a process that is killed frees it.
        """
        with locked(self._made("locks") / f"{address}.lock") as mine:
            yield mine

    def publish(self, address: str, record: dict[str, Any]) -> None:
        """Turn the cell's work into a finished cell; `record` becomes its cell.json."""
        work, final = self.work(address), self.cell(address)
        sweep(work)
        names = sorted(str(p.relative_to(work)) for p in work.rglob("*") if p.is_file())
        files = {name: file_digest(work / name) for name in names}
        whole = {"format": FORMAT, "address": address, **record, "files": files}
        write_json(work / CELL_FILE, {**whole, "digest": fingerprint(whole)})
        try:
            self._made("cells")
            work.rename(final)
        except OSError as error:
            raise OutputError(f"cannot write {final}: {reason(error)}") from error
        with contextlib.suppress(OSError):
            (self.root / "failed" / f"{address}.json").unlink(missing_ok=True)

    def set_aside(self, address: str) -> Path:
        """Move a damaged cell out of the way; return where it lies now."""
        folder = self._made("aside")
        number = sum(1 for _ in folder.glob(f"{address}-*")) + 1
        aside = folder / f"{address}-{number}"
        try:
            self.cell(address).rename(aside)
        except OSError as error:
            raise OutputError(f"cannot move {self.cell(address)}: {reason(error)}") from error
        return aside

    def discard_work(self, address: str) -> None:
        """Remove what an unfinished cell left."""
        work = self.work(address)
        if work.is_dir() and not work.is_symlink():
            shutil.rmtree(work, ignore_errors=True)
        else:
            work.unlink(missing_ok=True)

    def fail(self, address: str, label: str, error: str, trace: str = "") -> None:
        """Record that a cell failed; the next run tries it again."""
        value = {"label": label, "error": error, "traceback": trace}
        with _alone(self.root):
            write_json(self.root / "failed" / f"{address}.json", value)

    def failure(self, address: str) -> str | None:
        """Return the error of a cell that failed, or None."""
        path = self.root / "failed" / f"{address}.json"
        try:
            return str(read_json(path)["error"]) if path.exists() else None
        except (InputError, KeyError, TypeError):
            return "its record is damaged"

    def _made(self, name: str) -> Path:
        return _made(self.root / name)


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {reason(error)}") from error
    return folder


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Be the only one who writes outside of the cells, which runners do for moments alone; what is
    half-written there is a killed one's, and removed.
    """
    while True:
        with locked(_made(root / "locks") / "store.lock") as mine:
            if mine:
                for folder in (root, root / "failed"):
                    sweep(folder)
                yield
                return
        time.sleep(0.01)


_CELL = {"address": str, "label": str, "kind": str, "eps": int | float | None}
_PLACE = {
    **{"variant": str, "seed": int, "eps": int | float},
    **{"attack": str, "training": str, "evaluation": str},
}


def _sound(plan: dict[str, Any]) -> bool:
    """Whether a plan's cells and places are what the grid writes; addresses become paths."""
    cells, places = plan["cells"], plan["places"]
    if not (_rows(cells, _CELL) and _rows(places, _PLACE)):
        return False
    addresses = {cell["address"] for cell in cells}
    known = all(re.fullmatch("[0-9a-f]{16}", address) for address in addresses)
    return known and all({p["training"], p["evaluation"]} <= addresses for p in places)


def _rows(rows: list[Any], kinds: dict[str, Any]) -> bool:
    return all(
        isinstance(row, dict)
        and all(key in row and isinstance(row[key], kind) for key, kind in kinds.items())
        for row in rows
    )


def _mapping(record: dict[str, Any], key: str, root: Path) -> dict[str, Any]:
    value = record.get(key)
    if not isinstance(value, dict):
        raise _damaged(root)
    return value


def _damaged(root: Path) -> InputError:
    return InputError(
        f"{shown(root / STUDY_FILE)} is damaged; delete it and run the study again, which writes it anew"
    )


def _holds_no_study(root: Path) -> bool:
    """Whether a folder without study.json holds other things than the cells of a study."""
    names = (path.name for path in root.iterdir())
    # A runner that was killed while it wrote the first study.json leaves its temporary file.
    return any(name not in _OWN and not name.startswith(f".{STUDY_FILE}.") for name in names)
