"""Finished evaluations, read from their folders, and the shortest names that tell them apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath

from saddlepoint.errors import InputError
from saddlepoint.evaluation.record import RECORD_FILE, Evaluation
from saddlepoint.reading import shown


def read_evaluations(folders: Sequence[Path | str]) -> dict[str, Evaluation]:
    """Return the evaluations in `folders` by the shortest endings that tell their paths apart.

    Raises `InputError` for a folder that is given twice, and for one without a finished evaluation
    or with a damaged one.

    >>> read_evaluations(["runs/none"])
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: runs/none holds no finished evaluation; give folders that
    `saddlepoint evaluate` has finished
    """
    paths = [Path(each) for each in folders]
    seen: dict[Path, Path] = {}
    for path in paths:
        before = seen.setdefault(path.resolve(), path)
        if before is not path:
            other = "" if before == path else f", the other time as {shown(before)}"
            raise InputError(f"{shown(path)} is given twice{other}; give each evaluation once")
    for path in paths:
        if not (path / RECORD_FILE).exists():
            raise InputError(
                f"{shown(path)} holds no finished evaluation; give folders that"
                " `saddlepoint evaluate` has finished"
            )
    names = distinct_endings(paths)
    return {name: Evaluation.load(path) for name, path in zip(names, paths, strict=True)}


def distinct_endings(paths: Sequence[Path]) -> list[str]:
    """Return of each path the shortest ending that no other one has; the paths are different.

    >>> distinct_endings([Path("x/a/eval"), Path("x/b/eval"), Path("x/b/quick")])
    ['a/eval', 'b/eval', 'quick']
    """
    # A link keeps its own name.
    whole = [path.resolve() if ".." in path.parts else path.absolute() for path in paths]
    parts = [path.parts for path in whole]

    def ending(mine: tuple[str, ...]) -> str:
        for length in range(1, len(mine)):
            if sum(each[-length:] == mine[-length:] for each in parts) == 1:
                return str(PurePath(*mine[-length:]))
        return str(PurePath(*mine))

    return [ending(each) for each in parts]
